package people

// AuditAction says what was done. Nobody else makes one, so that every row has an action that
// people can look up.
type AuditAction struct{ name string }

// String returns the action as people write it, such as "account.suspend".
func (a AuditAction) String() string { return a.name }

// All actions. docs/administration.md says what each means.
var (
	AuditAccountAdd           = AuditAction{"account.add"}
	AuditAccountErase         = AuditAction{"account.erase"}
	AuditAccountLink          = AuditAction{"account.link"}
	AuditAccountName          = AuditAction{"account.name"}
	AuditAccountNotifications = AuditAction{"account.notifications"}
	AuditAccountOwner         = AuditAction{"account.owner"}
	AuditAccountRemove        = AuditAction{"account.remove"}
	AuditAccountReset         = AuditAction{"account.reset"}
	AuditAccountRestore       = AuditAction{"account.restore"}
	AuditAccountRole          = AuditAction{"account.role"}
	AuditAccountSuspend       = AuditAction{"account.suspend"}
	AuditAccountUnlink        = AuditAction{"account.unlink"}
	AuditBlockAdd             = AuditAction{"block.add"}
	AuditBlockRemove          = AuditAction{"block.remove"}
	AuditBotAdd               = AuditAction{"bot.add"}
	AuditBotGive              = AuditAction{"bot.give"}
	AuditDeviceAdd            = AuditAction{"device.add"}
	AuditDeviceConfirm        = AuditAction{"device.confirm"}
	AuditDeviceRename         = AuditAction{"device.rename"}
	AuditDeviceRevoke         = AuditAction{"device.revoke"}
	AuditExportPerson         = AuditAction{"export.person"}
	AuditExportRooms          = AuditAction{"export.rooms"}
	AuditGrantApprove         = AuditAction{"grant.approve"}
	AuditGrantDeny            = AuditAction{"grant.deny"}
	AuditHookAdd              = AuditAction{"hook.add"}
	AuditHookRemove           = AuditAction{"hook.remove"}
	AuditIdentityLink         = AuditAction{"identity.link"}
	AuditIdentityUnlink       = AuditAction{"identity.unlink"}
	AuditInviteAdd            = AuditAction{"invite.add"}
	AuditInviteRevoke         = AuditAction{"invite.revoke"}
	AuditPasskeyAdd           = AuditAction{"passkey.add"}
	AuditPasskeyCopied        = AuditAction{"passkey.copied"}
	AuditPasskeyRemove        = AuditAction{"passkey.remove"}
	AuditPasskeyRename        = AuditAction{"passkey.rename"}
	AuditPasswordRemove       = AuditAction{"password.remove"}
	AuditPasswordSet          = AuditAction{"password.set"}
	AuditPushAdd              = AuditAction{"push.add"}
	AuditPushRemove           = AuditAction{"push.remove"}
	AuditRecoverySet          = AuditAction{"recovery.set"}
	AuditRoomAppoint          = AuditAction{"room.appoint"}
	AuditRoomBan              = AuditAction{"room.ban"}
	AuditRoomCreate           = AuditAction{"room.create"}
	AuditRoomKick             = AuditAction{"room.kick"}
	AuditRoomMute             = AuditAction{"room.mute"}
	AuditRoomRetention        = AuditAction{"room.retention"}
	AuditRoomRole             = AuditAction{"room.role"}
	AuditRoomSet              = AuditAction{"room.set"}
	AuditRoomUnban            = AuditAction{"room.unban"}
	AuditRoomUnmute           = AuditAction{"room.unmute"}
	AuditServerClaim          = AuditAction{"server.claim"}
	AuditSettingSet           = AuditAction{"setting.set"}
	AuditSignInFailed         = AuditAction{"sign_in.failed"}
	AuditTokenAdd             = AuditAction{"token.add"}
	AuditTokenRevoke          = AuditAction{"token.revoke"}
)

// AuditActions are all actions, sorted.
var AuditActions = []AuditAction{
	AuditAccountAdd,
	AuditAccountErase,
	AuditAccountLink,
	AuditAccountName,
	AuditAccountNotifications,
	AuditAccountOwner,
	AuditAccountRemove,
	AuditAccountReset,
	AuditAccountRestore,
	AuditAccountRole,
	AuditAccountSuspend,
	AuditAccountUnlink,
	AuditBlockAdd,
	AuditBlockRemove,
	AuditBotAdd,
	AuditBotGive,
	AuditDeviceAdd,
	AuditDeviceConfirm,
	AuditDeviceRename,
	AuditDeviceRevoke,
	AuditExportPerson,
	AuditExportRooms,
	AuditGrantApprove,
	AuditGrantDeny,
	AuditHookAdd,
	AuditHookRemove,
	AuditIdentityLink,
	AuditIdentityUnlink,
	AuditInviteAdd,
	AuditInviteRevoke,
	AuditPasskeyAdd,
	AuditPasskeyCopied,
	AuditPasskeyRemove,
	AuditPasskeyRename,
	AuditPasswordRemove,
	AuditPasswordSet,
	AuditPushAdd,
	AuditPushRemove,
	AuditRecoverySet,
	AuditRoomAppoint,
	AuditRoomBan,
	AuditRoomCreate,
	AuditRoomKick,
	AuditRoomMute,
	AuditRoomRetention,
	AuditRoomRole,
	AuditRoomSet,
	AuditRoomUnban,
	AuditRoomUnmute,
	AuditServerClaim,
	AuditSettingSet,
	AuditSignInFailed,
	AuditTokenAdd,
	AuditTokenRevoke,
}
