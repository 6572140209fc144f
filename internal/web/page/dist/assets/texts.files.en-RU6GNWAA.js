import{a,b}from"./chunk-INJPSELY.js";export{a as en,b as texts};
