// esbuild turns the import of such a file into its address.
declare module '*.svg' {
  const url: string
  export default url
}
declare module '*.png' {
  const url: string
  export default url
}

// The list of emoji, and the words of a language for them, which the build makes.
declare module 'emoji:*' {
  const url: string
  export default url
}

// The text of a style sheet in style, for what is loaded when it is needed.
declare module 'sheet:*' {
  const text: string
  export default text
}

// The only part of Trusted Types (W3C) that the page uses. Not every browser has
// them.
interface Window {
  readonly trustedTypes?: {
    createPolicy(
      name: string,
      rules: { createScriptURL(url: string): string },
    ): { createScriptURL(url: string): { toString(): string } }
  }
}
