// Addresses of files on the server.

import type { FileInfo } from './protocol'
import { base } from './route'

/** The address of a file's bytes, or of its thumbnail. */
export const addressOf = ({ file }: FileInfo, small = false): string => `${base}v1/files/${encodeURIComponent(file)}${small ? '/thumbnail' : ''}`
