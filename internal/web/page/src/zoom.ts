// Enlarges a picture and moves it about: by keys, the wheel, a double click, or fingers.

import { useSignal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'

/** What one key does. */
export const zoomStep = 1.4
/** How much a double click enlarges. */
const double = 2.5
const largest = 12
/** Below this, a press is a click. Pixels. */
const still = 4

interface View {
  scale: number
  x: number
  y: number
}

const fitted: View = { scale: 1, x: 0, y: 0 }

/** Keeps a part of the picture in the window. */
function inside(stage: HTMLElement, { scale, x, y }: View): View {
  const limit = (value: number, length: number) => Math.min(Math.max(value, (-length * (scale - 1)) / 2), (length * (scale - 1)) / 2)
  return { scale, x: limit(x, stage.clientWidth), y: limit(y, stage.clientHeight) }
}

export type Zoom = ReturnType<typeof useZoom>

/** The zoom of the picture in an element. A picture with another key begins as large as fits. */
export function useZoom(stage: RefObject<HTMLElement | null>, key: string) {
  const view = useSignal(fitted)
  const held = useRef(new Map<number, { x: number; y: number }>())
  const travelled = useRef(0)
  useLayoutEffect(() => {
    view.value = fitted
    held.current.clear()
  }, [key])

  /** Zooms so that a point of the window stays where it is; without one, the middle. */
  const by = (factor: number, at?: { clientX: number; clientY: number }) => {
    const { scale, x, y } = view.peek()
    const to = Math.min(largest, Math.max(1, scale * factor))
    if (to === 1) return void (view.value = fitted)
    const box = stage.current!.getBoundingClientRect()
    const [px, py] = at ? [at.clientX - box.left - box.width / 2, at.clientY - box.top - box.height / 2] : [0, 0]
    view.value = inside(stage.current!, { scale: to, x: px - ((px - x) * to) / scale, y: py - ((py - y) * to) / scale })
  }
  const onPointerMove = (event: PointerEvent) => {
    const before = held.current.get(event.pointerId)
    if (!before) return
    const now = { x: event.clientX, y: event.clientY }
    const [dx, dy] = [now.x - before.x, now.y - before.y]
    travelled.current += Math.abs(dx) + Math.abs(dy)
    const other = [...held.current].find(([id]) => id !== event.pointerId)?.[1]
    held.current.set(event.pointerId, now)
    const { scale, x, y } = view.peek()
    if (other) by(Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y)), { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 })
    else if (scale > 1) view.value = inside(stage.current!, { scale, x: x + dx, y: y + dy })
  }
  const release = (event: PointerEvent) => void held.current.delete(event.pointerId)
  const { scale, x, y } = view.value
  return {
    by,
    fit: () => void (view.value = fitted),
    /** The last press was no click. */
    moved: () => travelled.current > still,
    style: { transform: scale === 1 ? '' : `translate(${x}px, ${y}px) scale(${scale})` },
    handlers: {
      onWheel: (event: WheelEvent) => {
        event.preventDefault()
        by(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002)), event)
      },
      onDblClick: (event: MouseEvent) => (view.peek().scale > 1 ? void (view.value = fitted) : by(double, event)),
      onPointerDown: (event: PointerEvent) => {
        if (event.button !== 0) return
        if (held.current.size === 0) travelled.current = 0
        held.current.set(event.pointerId, { x: event.clientX, y: event.clientY })
      },
      onPointerMove,
      onPointerUp: release,
      onPointerCancel: release,
      onPointerLeave: release,
    },
  }
}
