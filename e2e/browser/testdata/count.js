// Counts the characters that reading a content makes functions of the language read or copy; see markup_test.go.
// Slices of a string are not among them: engines do not copy these.

{
  let characters = 0
  const count = (prototype, name, cost) => {
    const plain = prototype[name]
    prototype[name] = function (...args) {
      const result = plain.apply(this, args)
      characters += 1 + cost(this, args, result)
      return result
    }
  }
  const whole = (text) => text.length
  for (const name of ['split', 'replaceAll', 'normalize', 'toLowerCase', 'trim', 'trimEnd']) count(String.prototype, name, whole)
  for (const name of ['startsWith', 'endsWith']) count(String.prototype, name, (_, [part]) => part.length)
  const indexOf = String.prototype.indexOf
  const upTo = (text, [part, from = 0]) => {
    const at = indexOf.call(text, part, from)
    return (at < 0 ? text.length : at) - from
  }
  for (const name of ['indexOf', 'includes']) count(String.prototype, name, upTo)
  for (const name of ['concat', 'filter', 'map', 'join', 'reverse']) count(Array.prototype, name, (list) => list.length)
  count(Array.prototype, 'slice', (_, __, result) => result.length)
  // The other functions of regular expressions call this one.
  const exec = RegExp.prototype.exec
  RegExp.prototype.exec = function (text) {
    const from = this.global || this.sticky ? this.lastIndex : 0
    const found = exec.call(this, text)
    characters += 1 + (found ? found.index + found[0].length - from : this.sticky ? 0 : text.length - from)
    return found
  }

  globalThis.charactersOf = (content) => {
    characters = 0
    source.parse(content)
    return characters
  }
}
