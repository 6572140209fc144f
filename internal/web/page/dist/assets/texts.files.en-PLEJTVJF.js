import{a,b}from"./chunk-V6JFR7UF.js";export{a as en,b as texts};
