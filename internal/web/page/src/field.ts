// Changes of the text in a field, as if the user had made them.

/** Replaces a part of the text. The caret stands behind it. */
export function replace(el: HTMLTextAreaElement, text: string, from: number, to: number): void {
  el.setRangeText(text, from, to, 'end')
  el.dispatchEvent(new Event('input', { bubbles: true }))
}

/** Inserts a text at the caret of the field with an id. */
export function insert(id: string, text: string): void {
  const el = document.getElementById(id)
  if (el instanceof HTMLTextAreaElement) replace(el, text, el.selectionStart, el.selectionEnd)
}
