// Renders the content of a message as DOM nodes, from the spans of markup.ts. No HTML
// is written anywhere.

import { h, type ComponentChildren, type VNode } from 'preact'
import { parse } from './markup'
import { mentionsName } from './markup-mention'
import { Address, Bold, Code, Italic, Language, Mention, Struck, type Line, type Span } from './markup-span'
import { aligns, cells } from './markup-table'

/** The address, if a click may open it: only web and mail. */
function safeLink(address: string): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined
  return url && ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : undefined
}

/** Makes nodes of a message's content. Mentions of `own`, the user's name, are marked. */
export function content(text: string, own: string): ComponentChildren {
  const lines = parse(text)
  const nodes: ComponentChildren[] = []
  for (let begin = 0; begin < lines.length; ) {
    const end = groupEnd(lines, begin)
    nodes.push(group(lines.slice(begin, end), own))
    begin = end
  }
  return nodes
}

/** The end of the lines that are rendered together with the one at `begin`. */
function groupEnd(lines: Line[], begin: number): number {
  const { kind, quote } = lines[begin]!
  let end = begin + 1
  if (kind === 'block') {
    while (!endsBlock(lines[end]!)) end++
    return end + 1
  }
  if (kind === 'head') {
    while (lines[end]?.kind === 'rule' || lines[end]?.kind === 'row') end++
    return end
  }
  while (end < lines.length && lines[end]!.kind === 'text' && lines[end]!.quote > 0 === quote > 0) end++
  return end
}

const endsBlock = (line: Line) => line.spans[line.spans.length - 1]?.mark === true

function group(lines: Line[], own: string): VNode {
  const { kind, quote } = lines[0]!
  if (kind === 'block') return block(lines)
  if (kind === 'head') return table(lines, own)
  if (quote > 0) return <blockquote>{quoted(lines, 1, own)}</blockquote>
  return paragraph(lines, own)
}

function paragraph(lines: Line[], own: string): VNode {
  const nodes: ComponentChildren[] = []
  lines.forEach((line, i) => {
    if (i > 0) nodes.push('\n')
    nodes.push(...inline(line.spans, own))
  })
  // A newline at the end of an element shows no empty line, unless something follows.
  if (lines[lines.length - 1]!.spans.every((s) => s.mark)) nodes.push('\n')
  return <p>{nodes}</p>
}

/** Renders lines within a depth of quotes; those in more quotes nest further. */
function quoted(lines: Line[], depth: number, own: string): ComponentChildren[] {
  const nodes: ComponentChildren[] = []
  for (let begin = 0; begin < lines.length; ) {
    const deeper = lines[begin]!.quote > depth
    let end = begin + 1
    while (end < lines.length && lines[end]!.quote > depth === deeper) end++
    const part = lines.slice(begin, end)
    nodes.push(deeper ? <blockquote>{quoted(part, depth + 1, own)}</blockquote> : paragraph(part, own))
    begin = end
  }
  return nodes
}

function block(lines: Line[]): VNode {
  const texts: string[] = []
  let language = ''
  lines.forEach((line, i) => {
    const code = line.spans.find((s) => s.style & Code)
    language ||= line.spans.find((s) => s.style & Language)?.text ?? ''
    // The lines of the fences are shown only if they have code too.
    if (code || (i > 0 && i < lines.length - 1)) texts.push(code?.text ?? '')
  })
  return (
    <pre tabIndex={0}>
      {language !== '' && <span class="language">{language}</span>}
      <code>{texts.join('\n')}</code>
    </pre>
  )
}

function table(lines: Line[], own: string): VNode {
  const sides = aligns(lines[1]!)
  return (
    <div class="table" tabIndex={0}>
      <table>
        {lines.map((line) => {
          if (line.kind === 'rule') return null
          const element = line.kind === 'head' ? 'th' : 'td'
          return <tr>{cells(line).map((cell, i) => h(element, { class: sides[i] ?? 'left' }, ...inline(cell, own)))}</tr>
        })}
      </table>
    </div>
  )
}

/** Renders the spans of a line, without the marks. */
function inline(spans: Span[], own: string): ComponentChildren[] {
  return spans.filter((s) => !s.mark).map((s) => styled(s, own))
}

function styled(s: Span, own: string): ComponentChildren {
  let node: ComponentChildren = s.text
  if (s.style & Code) node = <code>{s.text}</code>
  else if (s.style & Address) node = link(s.text)
  else if (s.style & Mention) node = <span class={mentionsName(s, own) ? 'mention mine' : 'mention'}>{s.text}</span>
  if (s.style & Struck) node = <s>{node}</s>
  if (s.style & Italic) node = <em>{node}</em>
  if (s.style & Bold) node = <strong>{node}</strong>
  return node
}

/** A link shows its address as sent; its title shows where the browser goes. */
function link(address: string): ComponentChildren {
  const safe = safeLink(address)
  if (safe === undefined) return address
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer nofollow" title={safe}>
      {address}
    </a>
  )
}
