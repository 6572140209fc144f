// Recovery codes, which are shown once.

import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { Card } from './form'
import { Copy, Download } from './symbols'
import { t } from './texts'
import { CopyButton } from './copy'

/** The step of a claim that shows the codes. */
export function RecoveryCodes({ codes, username, done }: { codes: string[]; username: string; done(): void }) {
  const saved = useSignal(false)
  return (
    <Card title={t('saveCodes')} text={t('saveCodesText')}>
      <CodeList codes={codes} username={username} />
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault()
          done()
        }}
      >
        <label class="option">
          <input type="checkbox" required checked={saved.value} onChange={(event) => (saved.value = event.currentTarget.checked)} />
          <span>{t('codesSaved')}</span>
        </label>
        <button type="submit" class="primary">
          {t('continue')}
        </button>
      </form>
    </Card>
  )
}

/** Codes with buttons that copy and save them. */
export function CodeList({ codes, username }: { codes: string[]; username: string }) {
  const text = `${t('codesOf', { name: username, host: location.host })}\n\n${codes.join('\n')}\n`
  const file = useMemo(() => URL.createObjectURL(new Blob([text], { type: 'text/plain' })), [text])
  return (
    <>
      <ul class="codes" aria-label={t('recoveryCodes')}>
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <p class="choices">
        <CopyButton wide label={t('copy')} text={() => text}>
          <Copy />
        </CopyButton>
        <a class="secondary with-symbol" href={file} download={`kaban-${username}.txt`}>
          <Download />
          {t('download')}
        </a>
      </p>
    </>
  )
}
