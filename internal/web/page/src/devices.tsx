// The devices that are signed in to the account.

import { useSignal } from '@preact/signals'
import { call, path } from './api'
import { Failure, useSending } from './form'
import { Doing, Item, useLoaded, Waiting } from './listing'
import { dayIn, t, timeOf } from './texts'

interface DeviceInfo {
  id: string
  name: string
  created: string
  used: string
  address?: string
  current: boolean
}

export function Devices() {
  const loaded = useLoaded<{ devices: DeviceInfo[] }>('v1/devices')
  const devices = loaded.value.value?.devices ?? []
  return (
    <>
      <p class="quiet">{t('devicesText')}</p>
      <Waiting of={loaded} />
      <ul class="items">
        {devices.map((device) => (
          <Device key={device.id} device={device} done={loaded.reload} />
        ))}
      </ul>
      {devices.length > 1 && <Doing label={t('revokeOthers')} harsh does={() => call('DELETE', 'v1/devices')} done={loaded.reload} />}
    </>
  )
}

function Device({ device, done }: { device: DeviceInfo; done(): Promise<void> }) {
  const renaming = useSignal<string | undefined>(undefined)
  const sending = useSending(async () => {
    await call('PATCH', `v1/devices/${path(device.id)}`, { name: renaming.peek()!.trim() })
    await done()
    renaming.value = undefined
  })
  if (renaming.value !== undefined) {
    return (
      <li class="item">
        <form class="beside" onSubmit={sending.submit}>
          <input type="text" aria-label={t('deviceName')} value={renaming.value} maxLength={64} required autofocus onInput={(event) => (renaming.value = event.currentTarget.value)} />
          <button type="submit" class="secondary">
            {t('save')}
          </button>
          <Failure sending={sending} />
        </form>
      </li>
    )
  }
  return (
    <Item title={device.name || t('deviceUnnamed')} badge={device.current ? t('thisDevice') : undefined} text={[t('lastUsed', { time: `${dayIn(device.used)}, ${timeOf(device.used)}` }), device.address].filter(Boolean).join(' · ')}>
      <button type="button" class="secondary" onClick={() => (renaming.value = device.name)}>
        {t('rename')}
      </button>
      {!device.current && <Doing label={t('revoke')} harsh does={() => call('DELETE', `v1/devices/${path(device.id)}`)} done={done} />}
    </Item>
  )
}
