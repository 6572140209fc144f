// The settings of this browser, and who is signed in.

import { useSignal, type Signal } from '@preact/signals'
import type { FunctionComponent } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { density, theme } from './appearance'
import { AdminPart } from './adminpart'
import { leave } from './chat'
import { Modal } from './modal'
import { choose, permission, type Permission } from './notify'
import { Profile } from './profile'
import type { Role } from './protocol'
import { atLeast } from './rights'
import { account, notifyWhen, server, showTyping, subject, username } from './state'
import { save } from './storage'
import { language, languages, speak, t } from './texts'
import type { Texts } from './texts.en'

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

/** The parts that only accounts have, and only some of them. */
interface Part {
  title: keyof Texts
  least: Role
  Content: FunctionComponent
}
const parts: Record<string, Part> = {
  browser: { title: 'partBrowser', least: 'guest', Content: Browser },
  notifications: { title: 'notifications', least: 'guest', Content: Notifying },
  profile: { title: 'partProfile', least: 'guest', Content: Profile },
  security: { title: 'partSecurity', least: 'guest', Content: () => <AdminPart name="Security" /> },
  devices: { title: 'partDevices', least: 'guest', Content: () => <AdminPart name="Devices" /> },
  tokens: { title: 'partTokens', least: 'guest', Content: () => <AdminPart name="Tokens" /> },
  invites: { title: 'partInvites', least: 'member', Content: () => <AdminPart name="Invites" /> },
  people: { title: 'partPeople', least: 'admin', Content: () => <AdminPart name="People" /> },
  rooms: { title: 'partRooms', least: 'admin', Content: () => <AdminPart name="Rooms" /> },
  hooks: { title: 'partHooks', least: 'admin', Content: () => <AdminPart name="Hooks" /> },
  audit: { title: 'partAudit', least: 'admin', Content: () => <AdminPart name="Audit" /> },
  server: { title: 'partServer', least: 'admin', Content: () => <AdminPart name="ServerSettings" /> },
}

export function Settings() {
  const chosen = useSignal(Object.hasOwn(parts, subject.peek()) ? subject.peek() : 'browser')
  const tabs = useRef<HTMLElement>(null)
  // On a phone there are more than fit.
  useLayoutEffect(() => tabs.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' }), [chosen.value])
  if (!account.value) {
    return (
      <Modal title={t('settings')}>
        <Browser />
      </Modal>
    )
  }
  const mine = Object.entries(parts).filter(([, { least }]) => atLeast(account.value, least))
  const { Content } = parts[chosen.value]!
  return (
    <Modal title={t('settings')}>
      <div class="parts">
        <nav aria-label={t('settings')} ref={tabs}>
          {mine.map(([name, { title }]) => (
            <button key={name} type="button" aria-current={chosen.value === name ? 'page' : undefined} onClick={() => (chosen.value = name)}>
              {t(title)}
            </button>
          ))}
        </nav>
        <section class="part" aria-label={t(parts[chosen.value]!.title)} key={chosen.value}>
          <Content />
        </section>
      </div>
    </Modal>
  )
}

/** Of this browser, and of the account everywhere. */
function Notifying() {
  return (
    <>
      <Notifications />
      <AdminPart name="PushPanel" />
      <h3>{t('onAllDevices')}</h3>
      <AdminPart name="NotificationsOfAccount" />
    </>
  )
}

function Browser() {
  return (
    <>
      {!account.value && <Notifications />}
      <fieldset>
        <legend>{t('typing')}</legend>
        <label class="option">
          <input type="checkbox" id="show-typing" checked={showTyping.value} onChange={(event) => (showTyping.value = event.currentTarget.checked)} />
          <span>{t('showTyping')}</span>
        </label>
      </fieldset>
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
      <p class="choices">
        <button type="button" class="secondary" onClick={() => void leave()}>
          {t(account.value ? 'signOutAccount' : 'signOut')}
        </button>
        {!account.value && server.value?.claimed && (
          <button type="button" class="secondary" onClick={() => void leave('sign-in')}>
            {t('signIn')}
          </button>
        )}
      </p>
    </>
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
      <legend>{t(account.value ? 'inThisBrowser' : 'notifications')}</legend>
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
  const failed = useSignal(false)
  const choose = async (select: HTMLSelectElement) => {
    const tag = select.value
    failed.value = false
    try {
      await speak(tag)
      save('language', language.value)
    } catch {
      failed.value = true
      select.value = language.value
    }
  }
  return (
    <>
      <label class="field">
        <span>{t('language')}</span>
        <select value={language.value} onChange={(event) => void choose(event.currentTarget)}>
          {Object.entries(languages).map(([tag, { name }]) => (
            <option key={tag} value={tag} lang={tag}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {failed.value && (
        <p class="problem" role="alert">
          {t('languageFailed')}
        </p>
      )}
    </>
  )
}
