// What esbuild makes of a file that is imported: its address.
declare module '*.svg' {
  const url: string
  export default url
}
declare module '*.png' {
  const url: string
  export default url
}

// Trusted Types (W3C): the one thing of them that the page uses. Not every
// browser has them.
interface Window {
  readonly trustedTypes?: {
    createPolicy(
      name: string,
      rules: { createScriptURL(url: string): string },
    ): { createScriptURL(url: string): { toString(): string } }
  }
}
