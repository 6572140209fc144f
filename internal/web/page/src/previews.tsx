// What the pages are about that a message links to. It shows no pictures of theirs, so the browser
// asks nobody but the server.

import { useEffect, useState } from 'preact/hooks'
import { call, path } from './api'

interface Preview {
  url: string
  title: string
  description?: string
  site?: string
}

/** As many answers are remembered, for rows that come into view again. */
const most = 300
/** As many are asked for at a time: others need the connections, too. */
const atOnce = 2

/** By room, message and text: another text has other links. */
const known = new Map<string, Preview[]>()
/** Those that wait to be asked for, the latest last, which comes first: it is in view. */
const waiting: (() => Promise<void>)[] = []
let asking = 0

function next(): void {
  if (asking >= atOnce) return
  const ask = waiting.pop()
  if (!ask) return
  asking++
  void ask().finally(() => {
    asking--
    next()
  })
}

/** What the pages say of themselves. */
export function Cards({ room, seq, content }: { room: string; seq: number; content: string }) {
  const key = `${room} ${seq} ${content}`
  const [found, setFound] = useState(known.get(key))
  useEffect(() => {
    if (found) return
    let wanted = true
    waiting.push(async () => {
      if (!wanted) return // the row is out of view
      try {
        const { previews } = await call<{ previews: Preview[] }>('GET', `v1/rooms/${path(room)}/messages/${seq}/previews`)
        known.set(key, previews)
        if (known.size > most) known.delete(known.keys().next().value!)
        if (wanted) setFound(previews)
      } catch {
        // The link itself is there.
      }
    })
    next()
    return () => {
      wanted = false
    }
  }, [key])
  return (
    <>
      {found?.map(({ url, title, description, site }) => (
        <a key={url} class="preview" href={url} target="_blank" rel="noopener noreferrer nofollow" title={url}>
          <span class="quiet">
            {URL.canParse(url) && new URL(url).host}
            {site && <bdi> · {site}</bdi>}
          </span>
          <b dir="auto">{title}</b>
          {description && <span dir="auto">{description}</span>}
        </a>
      ))}
    </>
  )
}
