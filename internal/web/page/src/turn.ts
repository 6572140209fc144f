// Turns: code that wants the focus later finds out whether the user has done
// something else since.

let turns = 0

for (const name of ['keydown', 'pointerdown']) addEventListener(name, endTurns, { capture: true })

/** Ends all turns: the user, or the page for the user, has done something. */
export function endTurns(): void {
  turns++
}

/** Takes a turn, and returns whether it still lasts. */
export function turn(): () => boolean {
  const taken = turns
  return () => taken === turns
}
