package access

import "kaban"

// Limit returns the facts about a bot that asks for something, given those about the
// bot itself and about its owner asking for the same with a credential that is not
// restricted. With them Can allows a bot nothing that its owner could not do, if need
// be after joining a public room: the bot loses its owner's lost roles, is suspended,
// banned and muted with its owner, and is in a private or direct room only together
// with its owner.
func Limit(bot, owner Facts) Facts {
	f := bot
	f.Who.Role = min(f.Who.Role, owner.Who.Role)
	f.Who.Active = f.Who.Active && owner.Who.Active
	f.Who.Person, f.Who.InPerson, f.Who.Operator, f.Who.Invited = false, false, false, false

	place := owner.standpoint()
	welcome := place.in
	most := place.rank
	if place.kind == kaban.RoomPublic && owner.Who.Role >= kaban.RoleMember {
		welcome = true
		most = max(most, kaban.RoomRoleMember)
	}
	f.Membership.Role = min(f.Membership.Role, most)
	f.Membership.Standing = min(f.Membership.Standing, owner.Membership.Standing)
	f.Membership.Invited = f.Membership.Invited && (welcome || owner.Membership.Invited)

	return LimitTarget(f, owner)
}

// LimitTarget is Limit for a bot whose facts are limited but for those about the target.
func LimitTarget(bot, owner Facts) Facts {
	f := bot
	f.Target.SharesRoom = f.Target.SharesRoom && (owner.Who.Role >= kaban.RoleMember || owner.Target.SharesRoom)
	f.Target.Reachable = f.Target.Reachable && owner.Target.Reachable
	return f
}
