// The entry point of the page.

import { options, render } from 'preact'
import { App } from './app'
import { showAppearance } from './appearance'
import { start } from './chat'
import { visit } from './focus'
import { keepPushes } from './keeppushes'
import { showCounts } from './notify'
import { base } from './route'
import { speakPreferred } from './texts'

// Tests count what is rendered.
const counter = (window as { kabanRendered?: () => void }).kabanRendered
if (counter) {
  const hooks = options as { __r?: (vnode: unknown) => void }
  const before = hooks.__r
  hooks.__r = (vnode) => {
    counter()
    before?.(vnode)
  }
}

// Relative links in the HTML depend on the address, which changes from here on. The
// style sheet is loaded already; the manifest and icons may be loaded at any time.
for (const link of document.querySelectorAll<HTMLLinkElement>('link:not([rel=stylesheet])')) link.setAttribute('href', link.href)

showAppearance()
start()
showCounts()
keepPushes()
/** How long the texts may take before the page is shown in English, until they are there. Milliseconds. */
const patience = 3000
// The connection is made in the meantime.
void Promise.race([speakPreferred(), new Promise((done) => setTimeout(done, patience))]).then(() => render(<App />, document.getElementById('app')!))

// A click on a notification goes to its message.
function go(path: unknown): void {
  const found = /\/r\/([^/#]+)#(\d+)$/.exec(String(path))
  if (found) visit({ room: decodeURIComponent(found[1]!), seq: Number(found[2]) })
}
addEventListener('kaban:go', (event) => go((event as CustomEvent).detail))
navigator.serviceWorker?.addEventListener('message', (event) => go((event.data as { go?: unknown }).go))

const worker = `${base}sw.js`
// Trusted Types: the service worker is the only script that the page loads by name.
const policy = window.trustedTypes?.createPolicy('kaban', {
  createScriptURL: (url: string) => {
    if (url !== worker) throw new TypeError(`${url} is no script of ours`)
    return url
  },
})
void navigator.serviceWorker?.register((policy?.createScriptURL(worker) ?? worker) as string).catch(() => undefined)
