// Where the page begins.

import { options, render } from 'preact'
import { App } from './app'
import { show, start } from './chat'
import { showCounts } from './notify'
import { base } from './route'

// Changes are shown once a frame, however many messages a frame brings; a page
// that is not visible has no frames.
options.debounceRendering = (render) => {
  let done = false
  const once = () => {
    if (done) return
    done = true
    render()
  }
  requestAnimationFrame(once)
  setTimeout(once, 100)
}

start()
showCounts()
render(<App />, document.getElementById('app')!)

// A click on a notification goes to its message.
function go(path: unknown): void {
  const found = /\/r\/([^/#]+)#(\d+)$/.exec(String(path))
  if (found) show({ room: decodeURIComponent(found[1]!), seq: Number(found[2]) })
}
addEventListener('kaban:go', (event) => go((event as CustomEvent).detail))
navigator.serviceWorker?.addEventListener('message', (event) => go((event.data as { go?: unknown }).go))

const worker = `${base}sw.js`
// Trusted Types: the only script that the page loads by name.
const policy = window.trustedTypes?.createPolicy('kaban', {
  createScriptURL: (url: string) => {
    if (url !== worker) throw new TypeError(`${url} is no script of ours`)
    return url
  },
})
void navigator.serviceWorker?.register((policy?.createScriptURL(worker) ?? worker) as string).catch(() => undefined)
