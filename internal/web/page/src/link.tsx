// A link or a token that is given to somebody else.

import { Link } from './symbols'
import { t } from './texts'
import { CopyButton } from './copy'

export function LinkToCopy({ link, label }: { link: string; label: string }) {
  return (
    <div class="field">
      <label for="link">{label}</label>
      <div class="copied-link">
        <input id="link" type="text" readOnly value={link} onFocus={(event) => event.currentTarget.select()} />
        <CopyButton wide label={t('copy')} text={() => link}>
          <Link />
        </CopyButton>
      </div>
    </div>
  )
}
