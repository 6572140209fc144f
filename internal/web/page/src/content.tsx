// A safe subset of Markdown as DOM nodes: markdown-it makes tokens, this makes
// nodes of those it knows and text of all others. No HTML is written anywhere.

import MarkdownIt from 'markdown-it'
import { h, type ComponentChildren, type VNode } from 'preact'

const parser = new MarkdownIt('zero', { linkify: true, breaks: true, maxNesting: 12 })
parser.enable([
  // blocks
  'blockquote',
  'fence',
  'list',
  // within a line
  'autolink',
  'backticks',
  'emphasis',
  'escape',
  'link',
  'linkify',
  'newline',
  'strikethrough',
])
// In a chat "see README.md" is no address: only what has a scheme is a link.
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false })
for (const scheme of ['//', 'ftp:']) parser.linkify.add(scheme, null)
parser.validateLink = (url) => safeLink(url) !== undefined

/** The address if it is one that a click may open: web and mail, nothing else. */
export function safeLink(address: string): string | undefined {
  let url: URL
  try {
    url = new URL(address)
  } catch {
    return undefined
  }
  return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : undefined
}

const elements: Record<string, string> = {
  paragraph: 'p',
  blockquote: 'blockquote',
  bullet_list: 'ul',
  ordered_list: 'ol',
  list_item: 'li',
  strong: 'strong',
  em: 'em',
  s: 's',
}

type Token = ReturnType<typeof parser.parse>[number]

/** Makes nodes of a message's content. `mention` is the own name, which is marked. */
export function markdown(content: string, mention: string): ComponentChildren {
  return nodes(parser.parse(content, {}), mention)
}

function nodes(tokens: Token[], mention: string): ComponentChildren[] {
  const stack: { element: string; props: Record<string, unknown>; children: ComponentChildren[] }[] = []
  let children: ComponentChildren[] = []
  const open = (element: string, props: Record<string, unknown> = {}) => {
    stack.push({ element, props, children })
    children = []
  }
  for (const token of tokens) {
    const [, base, edge] = /^(.*?)(?:_(open|close))?$/.exec(token.type)!
    if (edge === 'open') {
      // The paragraphs of a tight list are hidden: their text stands in the item.
      if (base === 'paragraph' && token.hidden) open('')
      else if (base === 'link') open(...link(String(token.attrGet('href') ?? '')))
      else if (base === 'ordered_list') open('ol', { start: Number(token.attrGet('start') ?? 1) })
      else open(elements[base!] ?? 'span')
    } else if (edge === 'close') {
      const frame = stack.pop()
      if (!frame) continue
      const { element, props } = frame
      const inner = children
      children = frame.children
      if (element === '') children.push(...inner)
      else children.push(h(element, props, ...inner) as VNode)
    } else if (token.type === 'inline') {
      children.push(...nodes(token.children ?? [], mention))
    } else if (token.type === 'softbreak' || token.type === 'hardbreak') {
      children.push(<br />)
    } else if (token.type === 'code_inline') {
      children.push(<code>{token.content}</code>)
    } else if (token.type === 'fence') {
      children.push(
        <pre tabIndex={0}>
          <code>{token.content.replace(/\n$/, '')}</code>
        </pre>,
      )
    } else {
      children.push(...mentioned(token.content, mention))
    }
  }
  return children
}

function link(href: string): [string, Record<string, unknown>] {
  const safe = safeLink(href)
  if (safe === undefined) return ['span', {}]
  // The title shows where a link with another text goes.
  return ['a', { href: safe, target: '_blank', rel: 'noopener noreferrer nofollow', title: safe }]
}

const names = /(?<![\p{L}\p{N}_])@[\p{L}\p{M}\p{N}_.-]*[\p{L}\p{M}\p{N}_-]/gu

/** Marks @names, and the own one more. */
function mentioned(text: string, own: string): ComponentChildren[] {
  if (!text.includes('@')) return [text]
  const parts: ComponentChildren[] = []
  let at = 0
  for (const found of text.matchAll(names)) {
    parts.push(text.slice(at, found.index))
    const mine = found[0].slice(1).toLowerCase() === own.toLowerCase()
    parts.push(<span class={mine ? 'mention mine' : 'mention'}>{found[0]}</span>)
    at = found.index + found[0].length
  }
  parts.push(text.slice(at))
  return parts
}
