// The icons that the HTML and the manifest name; the build gives them their
// addresses.

export { default as icon } from './icon.svg'
export { default as small } from './icon-192.png'
export { default as large } from './icon-512.png'
