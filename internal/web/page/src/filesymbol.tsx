// The sign of a file that is no picture.

/** What a file is for, by its type. */
function signOf(type: string): string {
  if (type.startsWith('audio/')) return 'M7.500 14.500V5.500l7-1.500v9M7.500 14.500a2 1.700 0 1 1-4 0a2 1.700 0 1 1 4 0zM14.500 13a2 1.700 0 1 1-4 0a2 1.700 0 1 1 4 0z'
  if (type.startsWith('video/')) return 'M3 5.500h14v9H3zM8.500 8v4l3.500-2z'
  if (/zip|tar|compress|gzip|7z/.test(type)) return 'M4 4.500h12v11H4zM4 8h12M8.500 11h3'
  return 'M5.500 3h6l3.500 3.500V17h-9.500zM11.500 3v3.500H15M8 10h4.500M8 13h4.500'
}

export function FileSymbol({ of: { type } }: { of: { type: string } }) {
  return (
    <span class="file-symbol" aria-hidden="true">
      <svg class="symbol" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round">
        <path d={signOf(type)} />
      </svg>
    </span>
  )
}
