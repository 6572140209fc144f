// The texts of notifications while the page is closed, in all languages: they are few, and loaded with their panel.

const en = {
  title: 'Notify this browser also while Kaban is closed',
  help: 'Through the push service of your browser, which cannot read them. Your levels, keywords and do not disturb apply.',
  text: 'With sender and text',
  textHelp: 'For all your browsers. Without it, notifications say only that there is a new message.',
  insecure: 'This needs https. Ask whoever runs this server for an address that begins with https://.',
  unsupported: 'This browser cannot be notified while the page is closed. On an iPhone or iPad, add Kaban to the home screen first.',
  denied: 'Your browser blocks notifications from this page. You can change that in its settings.',
  unreachable: 'Your browser has refused: its push service could not be reached, or it is switched off in its settings.',
}

const de: typeof en = {
  title: 'Diesen Browser auch benachrichtigen, wenn Kaban geschlossen ist',
  help: 'Über den Push-Dienst deines Browsers, der nichts davon lesen kann. Deine Stufen, Stichwörter und „Nicht stören“ gelten.',
  text: 'Mit Absender und Text',
  textHelp: 'Für alle deine Browser. Sonst sagen Benachrichtigungen nur, dass es eine neue Nachricht gibt.',
  insecure: 'Das geht nur über HTTPS. Frage, wer diesen Server betreibt, nach einer Adresse, die mit https:// beginnt.',
  unsupported: 'Dieser Browser kann bei geschlossener Seite nicht benachrichtigt werden. Auf iPhone und iPad muss Kaban zuerst zum Home-Bildschirm.',
  denied: 'Dein Browser blockiert Benachrichtigungen dieser Seite. Du kannst das in seinen Einstellungen ändern.',
  unreachable: 'Dein Browser hat abgelehnt: Sein Push-Dienst war nicht erreichbar, oder er ist in den Einstellungen abgeschaltet.',
}

export const texts: Record<string, typeof en> = { en, de }
