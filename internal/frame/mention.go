package frame

import (
	"kaban/internal/chat"
	"kaban/wire"
)

// causes are the words for why a message mentions an account.
var causes = map[chat.Cause]wire.Cause{
	chat.CauseName: wire.CauseName, chat.CauseEveryone: wire.CauseEveryone, chat.CauseHere: wire.CauseHere,
}

// Mentions returns mentions as the elements of an inbox.
func Mentions(found []chat.Mention) []wire.Mention {
	mentions := make([]wire.Mention, len(found))
	for i := range found {
		m := message(&found[i].Message)
		mentions[i] = wire.Mention{
			Room: found[i].Room.String(), Seq: m.Seq, ID: m.ID, Username: m.Username, Account: m.Account, Bot: m.Bot, Content: m.Content, Files: m.Files,
			Time: timeOf(found[i].Time), Cause: causes[found[i].Cause],
		}
	}
	return mentions
}
