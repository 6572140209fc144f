// The heights of a list's rows: measured once a row has been rendered, and estimated
// before.

import type { Log } from './log'
import type { Message } from './protocol'

/** Rows lower than this have one line of text. Pixels. */
const oneLine = 45

/** About how many lines a message has. */
function linesOf(message: Message): number {
  let lines = 1 + (message.reply_to === undefined ? 0 : 1) + (message.reactions ? 1 : 0) + Math.floor(message.content.length / 90)
  for (let i = message.content.indexOf('\n'); i >= 0 && lines < 25; i = message.content.indexOf('\n', i + 1)) lines++
  return lines
}

export class Rows {
  private heights: number[] = []
  /** The recent height of rows with one line, as most have. */
  private typical = 32
  private tops: Float64Array = new Float64Array(1)
  /** `tops` is valid for the rows before this one. */
  private summed = 0
  private generation = -1
  private base = 0

  /** Follows the log, with a row for each message; keeps the measured heights. */
  follow(log: Log): void {
    const { messages } = log
    if (log.generation !== this.generation || this.heights.length === 0) {
      this.heights = []
      this.generation = log.generation
      this.base = log.base
      this.summed = 0
    }
    // Rows were added or dropped in front.
    const infront = this.base - log.base
    if (infront !== 0) {
      this.heights = infront > 0 ? messages.slice(0, infront).map((m) => this.estimate(m)).concat(this.heights) : this.heights.slice(-infront)
      this.base = log.base
      this.summed = 0
    }
    for (let i = this.heights.length; i < messages.length; i++) this.heights.push(this.estimate(messages[i]!))
  }

  get count(): number {
    return this.heights.length
  }

  /** Where a row begins, in pixels from the first. For `count`, where the last one ends. */
  top(row: number): number {
    this.sum()
    return this.tops[Math.max(0, Math.min(row, this.heights.length))]!
  }

  /** The row at an offset in pixels from the first. */
  at(offset: number): number {
    this.sum()
    let low = 0
    let high = this.heights.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.tops[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return Math.max(0, low)
  }

  /** Takes the measured height of a row; returns whether it has changed. */
  measured(row: number, height: number): boolean {
    if (row >= this.heights.length || Math.abs(this.heights[row]! - height) < 0.1) return false
    this.heights[row] = height
    if (height < oneLine) this.typical += (height - this.typical) / 16
    this.summed = Math.min(this.summed, row)
    return true
  }

  /** The height of a row that has not been measured. Pixels. */
  private estimate(message: Message): number {
    return this.typical + 22 * (linesOf(message) - 1)
  }

  private sum(): void {
    const n = this.heights.length
    if (this.summed === n && n > 0) return
    if (this.tops.length < n + 1) {
      const longer = new Float64Array(Math.ceil((n + 1) * 1.5))
      longer.set(this.tops)
      this.tops = longer
    }
    // From the first row that has changed: most new ones come at the end.
    let top = this.summed === 0 ? 0 : this.tops[this.summed]!
    for (let i = this.summed; i < n; i++) {
      this.tops[i] = top
      top += this.heights[i]!
    }
    this.tops[n] = top
    this.summed = n
  }
}
