// What shows and uploads files. It is a file of its own, which attached.ts loads.

import sheet from 'sheet:files'

export { Chips } from './chips'
export { FileList } from './filelist'
export { FileMarks } from './filemarks'
export { speak } from './filetexts'
export { Lightbox } from './lightbox'
export { add } from './uploads'

const styles = new CSSStyleSheet()
styles.replaceSync(sheet)
document.adoptedStyleSheets = [...document.adoptedStyleSheets, styles]
