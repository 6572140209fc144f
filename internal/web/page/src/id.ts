/** The latest millisecond of an id of this tab, and how many ids before it were of the same. */
let latest = 0
let used = 0

/**
 * An id for a message: a UUID of version 7 (RFC 9562, section 5.7). It begins with the time, so
 * that a server keeps the messages of a room together. The ids of a tab ascend, also when its
 * clock goes backwards.
 */
export function messageID(): string {
  const now = Date.now()
  if (now > latest) {
    latest = now
    used = 0
  } else if (++used > 0xfff) {
    latest++
    used = 0
  }
  const random = randomBytes(8)
  random[0] = (random[0]! & 0x3f) | 0x80 // the variant
  const tail = hex(random)
  const time = latest.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${used.toString(16).padStart(3, '0')}-${tail.slice(0, 4)}-${tail.slice(4)}`
}

/** A ref for a request: 128 random bits. */
export const randomID = (): string => hex(randomBytes(16))

// Not crypto.randomUUID, which is missing over plain HTTP.
const randomBytes = (n: number): Uint8Array => crypto.getRandomValues(new Uint8Array(n))

const hex = (bytes: Uint8Array): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')
