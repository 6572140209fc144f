// The settings of this browser, and who is signed in.

import { type Signal } from '@preact/signals'
import { useState } from 'preact/hooks'
import { density, theme } from './appearance'
import { leave } from './chat'
import { Modal } from './modal'
import { choose, permission, type Permission } from './notify'
import { account, notifyWhen, username } from './state'
import { save } from './storage'
import { language, languages, t } from './texts'

/** A choice between a few options. */
function Choices<T extends string>({ legend, name, options, value }: { legend: string; name: string; options: [T, string][]; value: Signal<T> }) {
  return (
    <fieldset class="segments">
      <legend>{legend}</legend>
      <div>
        {options.map(([key, label]) => (
          <label key={key}>
            <input type="radio" name={name} checked={value.value === key} onChange={() => (value.value = key)} />
            <span>{label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}

export function Settings() {
  return (
    <Modal title={t('settings')}>
      <Notifications />
      <Choices
        legend={t('theme')}
        name="theme"
        options={[
          ['auto', t('themeAuto')],
          ['light', t('themeLight')],
          ['dark', t('themeDark')],
        ]}
        value={theme}
      />
      <Choices
        legend={t('density')}
        name="density"
        options={[
          ['normal', t('densityNormal')],
          ['compact', t('densityCompact')],
        ]}
        value={density}
      />
      <Language />
      <button type="button" class="secondary" onClick={() => void leave()}>
        {t(account.value ? 'signOutAccount' : 'signOut')}
      </button>
    </Modal>
  )
}

function Notifications() {
  const [allowed, setAllowed] = useState<Permission>(permission())
  const choose_ = (when: 'never' | 'mentions' | 'all') => void choose(when).then(setAllowed)
  const options = account.value
    ? ([
        ['never', t('notifyNever')],
        ['all', t('notifyByRoom')],
      ] as const)
    : ([
    ['never', t('notifyNever')],
    ['mentions', t('notifyMentions', { name: username.value })],
    ['all', t('notifyAll')],
      ] as const)
  return (
    <fieldset>
      <legend>{t('notifications')}</legend>
      <p class="quiet">{t('notificationsHelp')}</p>
      {options.map(([when, label]) => (
        <label class="option" key={when}>
          <input type="radio" name="notify" checked={notifyWhen.value === when} disabled={allowed === 'unsupported' && when !== 'never'} onClick={() => choose_(when)} />
          <span>{label}</span>
        </label>
      ))}
      {allowed === 'denied' && (
        <p class="problem" role="alert">
          {t('notifyDenied')}
        </p>
      )}
      {allowed === 'unsupported' && <p class="quiet">{t('notifyUnsupported')}</p>}
    </fieldset>
  )
}

function Language() {
  return (
    <label class="field">
      <span>{t('language')}</span>
      <select
        value={language.value}
        onChange={(event) => {
          language.value = event.currentTarget.value
          save('language', language.value)
        }}
      >
        {Object.entries(languages).map(([tag, { name }]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
    </label>
  )
}
