// Passkeys: carries the options and answers of WebAuthn between the server, which
// speaks JSON with base64url, and the browser, which wants bytes.

import { APIError, call, type Session } from './api'
import { deviceName } from './account'

/** An IP address cannot have passkeys, even on the same machine. */
const byAddress = /^[\d.]+$|^\[/

export const supported = (): boolean => typeof PublicKeyCredential === 'function' && isSecureContext && !byAddress.test(location.hostname)

/** Where this machine can have passkeys, if the page has been opened by its address; undefined elsewhere. */
export const byName = (): string | undefined => (/^(127\.0\.0\.1|\[::1\])$/.test(location.hostname) ? location.origin.replace(location.hostname, 'localhost') : undefined)

/** The user closed the browser's dialog. */
export class Declined extends Error {}

interface Descriptor {
  id: string
  type: 'public-key'
}
interface Options {
  publicKey: {
    challenge: string
    user?: { id: string; name: string; displayName: string }
    allowCredentials?: Descriptor[]
    excludeCredentials?: Descriptor[]
  }
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replace(/-/g, '+').replace(/_/g, '/'))
  return Uint8Array.from(plain, (c) => c.charCodeAt(0))
}

function text(value: ArrayBuffer | null): string {
  let plain = ''
  for (const b of new Uint8Array(value ?? new ArrayBuffer(0))) plain += String.fromCharCode(b)
  return btoa(plain).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
}

const decoded = (list: Descriptor[] | undefined) => (list ?? []).map((d) => ({ ...d, id: bytes(d.id) }))

/** The browser's dialog. */
async function dialog(open: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const found = await open()
    if (found) return found as PublicKeyCredential
  } catch (error) {
    if (!(error instanceof DOMException)) throw error
  }
  throw new Declined('no passkey was chosen')
}

/** Answers a challenge of the server with a passkey of the user's choice. */
async function assertion(): Promise<object> {
  const { publicKey } = await call<Options>('POST', 'v1/passkeys/sign-in/begin', {})
  const credential = await dialog(() =>
    navigator.credentials.get({
      publicKey: { ...publicKey, challenge: bytes(publicKey.challenge), allowCredentials: decoded(publicKey.allowCredentials) } as PublicKeyCredentialRequestOptions,
    }),
  )
  const response = credential.response as AuthenticatorAssertionResponse
  return {
    ...outside(credential),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: text(response.userHandle),
    },
  }
}

/** Sends what a passkey has answered. */
export async function send<T>(path: string, answer: object): Promise<T> {
  try {
    return await call<T>('POST', path, answer)
  } catch (error) {
    // The general text is about passwords.
    if (error instanceof APIError && error.problem.code === 'auth_failed') throw new APIError({ ...error.problem, code: 'passkey_failed' }, error.status)
    throw error
  }
}

export const signIn = async (): Promise<Session> => send<Session>('v1/passkeys/sign-in', { ...(await assertion()), device: deviceName() })

/** Makes the sign-in fresh again. */
export const confirm = async (): Promise<void> => send<undefined>('v1/passkeys/confirm', await assertion())

/** Has the browser make a passkey. */
async function creation({ publicKey }: Options): Promise<object> {
  const credential = await dialog(() =>
    navigator.credentials.create({
      publicKey: {
        ...publicKey,
        challenge: bytes(publicKey.challenge),
        user: { ...publicKey.user!, id: bytes(publicKey.user!.id) },
        excludeCredentials: decoded(publicKey.excludeCredentials),
      } as unknown as PublicKeyCredentialCreationOptions,
    }),
  )
  const response = credential.response as AuthenticatorAttestationResponse
  return {
    ...outside(credential),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  }
}

/** Makes a passkey for the account. */
export async function add(name: string): Promise<void> {
  await call('POST', 'v1/passkeys', { name, ...(await creation(await call<Options>('POST', 'v1/passkeys/begin', {}))) })
}

/** Makes a passkey for an account that is to be made. */
export const begin = async (draft: { username: string; name?: string; claim?: string; invite?: string }): Promise<object> =>
  creation(await call<Options>('POST', 'v1/passkeys/new/begin', draft))

/** What a credential has around its response. */
function outside(credential: PublicKeyCredential) {
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    clientExtensionResults: credential.getClientExtensionResults(),
    ...(credential.authenticatorAttachment ? { authenticatorAttachment: credential.authenticatorAttachment } : {}),
  }
}
