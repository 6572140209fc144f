// The icons of the page. They are hidden from screen readers: the buttons that have
// them have names.

import type { ComponentChildren } from 'preact'

function Symbol({ children }: { children: ComponentChildren }) {
  return (
    <svg class="symbol" viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">
      {children}
    </svg>
  )
}

export const Menu = () => (
  <Symbol>
    <path d="M3.5 5.5h13M3.5 10h13M3.5 14.5h9" />
  </Symbol>
)
export const People = () => (
  <Symbol>
    <circle cx="7.5" cy="7" r="2.8" />
    <path d="M2.5 16c.4-3 2.3-4.5 5-4.5s4.6 1.5 5 4.5M13 4.4a2.8 2.8 0 0 1 0 5.2M14.8 11.9c1.6.6 2.5 2 2.7 4.1" />
  </Symbol>
)
export const Search = () => (
  <Symbol>
    <circle cx="9" cy="9" r="5.2" />
    <path d="m13 13 3.7 3.7" />
  </Symbol>
)
export const Thread = () => (
  <Symbol>
    <path d="M3.5 5.2c0-.8.6-1.4 1.4-1.4h10.2c.8 0 1.4.6 1.4 1.4v6.6c0 .8-.6 1.4-1.4 1.4H9.4L5.8 16.4v-3.2h-.9c-.8 0-1.4-.6-1.4-1.4zM7 7.2h6M7 9.9h4" />
  </Symbol>
)
export const Inbox = () => (
  <Symbol>
    <path d="M3.5 11.5 5.6 5c.2-.6.7-.9 1.3-.9h6.2c.6 0 1.1.3 1.3.9l2.1 6.5v3c0 .8-.6 1.4-1.4 1.4H4.9c-.8 0-1.4-.6-1.4-1.4zM3.5 11.5h3.7c.3 1.5 1.4 2.3 2.8 2.3s2.5-.8 2.8-2.3h3.7" />
  </Symbol>
)
export const Muted = () => (
  <Symbol>
    <path d="M8.2 16.2c.4.6 1 .9 1.8.9s1.4-.3 1.8-.9M5.6 8.2c0 3.4-1.4 4.6-1.4 5.6h10M7.3 5.1A4.6 4.6 0 0 1 14.4 8.2c0 1.5.3 2.6.6 3.4M3.5 3.5l13 13" />
  </Symbol>
)
export const Unread = () => (
  <Symbol>
    <path d="M3.5 10h8M3.5 5.5h13M3.5 14.5h13" />
    <circle cx="15" cy="10" r="1.4" fill="currentColor" />
  </Symbol>
)
export const Plus = () => (
  <Symbol>
    <path d="M10 4.5v11M4.5 10h11" />
  </Symbol>
)
export const Cross = () => (
  <Symbol>
    <path d="m5.5 5.5 9 9M14.5 5.5l-9 9" />
  </Symbol>
)
export const Gear = () => (
  <Symbol>
    <path d="M3.5 6h6M13.5 6h3M3.5 14h3M10.5 14h6" />
    <circle cx="11.5" cy="6" r="1.9" />
    <circle cx="8.5" cy="14" r="1.9" />
  </Symbol>
)
export const Send = () => (
  <Symbol>
    <path d="M3.5 10h7M3.5 10 2.8 4.3c-.1-.7.6-1.2 1.2-.9l13 6c.6.3.6 1 0 1.3l-13 6c-.6.3-1.3-.2-1.2-.9z" />
  </Symbol>
)
export const ChevronDown = () => (
  <Symbol>
    <path d="M10 4v11.5M5 10.8l5 4.7 5-4.7" />
  </Symbol>
)
export const Keyboard = () => (
  <Symbol>
    <rect x="2" y="5" width="16" height="10.5" rx="2" />
    <path d="M5.2 8.3h.01M8.4 8.3h.01M11.6 8.3h.01M14.8 8.3h.01M6.5 12.3h7" />
  </Symbol>
)
export const Copy = () => (
  <Symbol>
    <rect x="7" y="7" width="9.5" height="9.5" rx="2" />
    <path d="M13 4.5A1.5 1.5 0 0 0 11.5 3.5H5A1.5 1.5 0 0 0 3.5 5v6.5A1.5 1.5 0 0 0 5 13" />
  </Symbol>
)
export const Link = () => (
  <Symbol>
    <path d="M8.5 11.5a3 3 0 0 0 4.300 0l2.800-2.800a3 3 0 0 0-4.300-4.300l-1 1M11.5 8.5a3 3 0 0 0-4.300 0l-2.800 2.800a3 3 0 0 0 4.300 4.300l1-1" />
  </Symbol>
)
export const Check = () => (
  <Symbol>
    <path d="m4.5 10.5 3.700 3.700 7.300-8" />
  </Symbol>
)
export const ChevronRight = () => (
  <Symbol>
    <path d="m7.5 5 5 5-5 5" />
  </Symbol>
)
export const Star = ({ filled }: { filled?: boolean }) => (
  <Symbol>
    <path fill={filled ? 'currentColor' : 'none'} d="m10 3 2.1 4.400 4.800.6-3.5 3.300.9 4.800L10 13.800l-4.300 2.300.9-4.800L3.1 8l4.800-.6z" />
  </Symbol>
)
export const ArrowLeft = () => (
  <Symbol>
    <path d="M16 10H4.5M9.5 4.5 4 10l5.5 5.5" />
  </Symbol>
)
export const Speech = () => (
  <Symbol>
    <path d="M4 4.5h12a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5H9.5L6 17.5v-3H4A1.5 1.5 0 0 1 2.5 13V6A1.5 1.5 0 0 1 4 4.5zM6.5 8.200h7M6.5 11h4.5" />
  </Symbol>
)
export const Key = () => (
  <Symbol>
    <circle cx="7" cy="12.5" r="3.500" />
    <path d="m9.600 10 6.400-6.400M13 6.500l2.300 2.300" />
  </Symbol>
)
export const Download = () => (
  <Symbol>
    <path d="M10 3.500v9M6 9l4 3.800L14 9M4 16.500h12" />
  </Symbol>
)
export const Lock = () => (
  <Symbol>
    <rect x="4.500" y="9" width="11" height="7.500" rx="1.800" />
    <path d="M7 9V6.500a3 3 0 0 1 6 0V9" />
  </Symbol>
)
export const More = () => (
  <Symbol>
    <path d="M5 10h.01M10 10h.01M15 10h.01" stroke-width="2.600" />
  </Symbol>
)
export const Smile = () => (
  <Symbol>
    <circle cx="10" cy="10" r="6.800" />
    <path d="M7.500 8h.01M12.500 8h.01M7 11.800c.7 1.200 1.800 1.800 3 1.800s2.300-.6 3-1.800" />
  </Symbol>
)
export const Pencil = () => (
  <Symbol>
    <path d="m4 16 .8-3.500L13 4.300a1.400 1.400 0 0 1 2 0l.7.7a1.400 1.400 0 0 1 0 2L7.500 15.200z" />
  </Symbol>
)
export const Bin = () => (
  <Symbol>
    <path d="M4 6h12M8 6V4h4v2M5.500 6l.7 10h7.600l.7-10M8.500 9v4.500M11.500 9v4.500" />
  </Symbol>
)
export const Reply = () => (
  <Symbol>
    <path d="M8 5 3.500 9.500 8 14M4 9.500h7.500a5 5 0 0 1 5 5v1" />
  </Symbol>
)
export const Pin = () => (
  <Symbol>
    <path d="M7 3.500h6M8 3.500v5L5.500 11.500h9L12 8.500v-5M10 11.500V17" />
  </Symbol>
)
export const AddPerson = () => (
  <Symbol>
    <circle cx="8" cy="7" r="2.800" />
    <path d="M3 16c.4-3 2.300-4.500 5-4.500s4.600 1.500 5 4.500M15 5v5M12.500 7.500h5" />
  </Symbol>
)
export const Clip = () => (
  <Symbol>
    <path d="M15.800 9.300 9.900 15.200a3.600 3.600 0 0 1-5.100-5.100l6.300-6.300a2.400 2.400 0 0 1 3.400 3.400L8.400 13.300a1.200 1.200 0 0 1-1.700-1.700l5.500-5.500" />
  </Symbol>
)
export const Minus = () => (
  <Symbol>
    <path d="M4.500 10h11" />
  </Symbol>
)
