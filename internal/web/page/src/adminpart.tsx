// A part of the page that is rarely opened: those of admins and owners, and some of the settings. It is loaded with its texts when it is wanted.

import type { ComponentType } from 'preact'
import { loadAdminTexts, notLoaded } from './admintexts'
import { useLoaded, Waiting } from './listing'
import { language } from './texts'

type Panels = typeof import('./adminpanels')
type PropsOf<Panel> = Panel extends (props: infer Props) => unknown ? (unknown extends Props ? object : Props) : object

async function load(tag: string): Promise<Panels> {
  const [panels] = await Promise.all([
    import('./adminpanels').catch(() => {
      throw notLoaded()
    }),
    loadAdminTexts(tag),
  ])
  return panels
}

/** Shows a panel by its name, with the properties that it takes. */
export function AdminPart<Name extends keyof Panels>({ name, ...rest }: { name: Name } & PropsOf<Panels[Name]>) {
  const loaded = useLoaded(language.value, load)
  const Panel = loaded.value.value?.[name] as ComponentType<object> | undefined
  return Panel ? <Panel {...rest} /> : <Waiting of={loaded} />
}
