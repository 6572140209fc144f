// What reads the structure of contents in a page; see markup_test.go.

globalThis.flagged = (flags, text) => (flags === '' ? text : `⟨${flags}:${text}⟩`)

globalThis.spell = (lines) =>
  lines
    .map((line) => {
      const spans = line.spans.map((s) => {
        const flags = [...'biscaml'].filter((_, bit) => s.style & (1 << bit)).join('')
        return s.mark ? `⟦${s.text}⟧` : flagged(flags, s.text)
      })
      return (line.kind === 'text' ? '' : `⟪${line.kind}⟫`) + (line.quote > 0 ? `⟪quote ${line.quote}⟫` : '') + spans.join('')
    })
    .join('\n')

globalThis.shownSpans = (content) => {
  const flagOf = (e) => ({ STRONG: 'b', EM: 'i', S: 's', CODE: 'c', A: 'a' })[e.tagName] ?? (e.matches('.mention') ? 'm' : e.matches('.language') ? 'l' : '')
  const walk = (node, flags) => {
    if (node.nodeType === Node.TEXT_NODE) {
      return flagged([...'biscaml'].filter((flag) => flags.includes(flag)).join(''), node.data)
    }
    return [...node.childNodes].map((child) => walk(child, flags + (child.tagName ? flagOf(child) : ''))).join('')
  }
  return walk(content, '')
}

/** Scrolls so that a message is in the document; says whether it is. */
globalThis.goTo = (seq) => {
  const list = document.querySelector('#messages')
  const rows = [...list.querySelectorAll('.row')].map((row) => Number(row.dataset.seq))
  if (rows.includes(seq)) return true
  list.scrollTop += seq < rows[0] ? -300 : 300
  return false
}
