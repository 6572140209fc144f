package limit

// Exceeded returns how often each limit, by the name of its setting, has refused
// somebody or made somebody wait, since the start. Delays of sign-ins are not among
// them: package account counts those.
func (l *Limits) Exceeded() map[string]uint64 {
	counts := make(map[string]uint64)
	for _, c := range []*Connections{l.AddressConnections, l.AccountConnections} {
		counts[c.name] = c.exceeded.Load()
	}
	for _, one := range []*Limiter{
		l.AddressArrivals, l.SignUps, l.AccountArrivals, l.Messages, l.Rooms, l.Uploads, l.APIRequests, l.Searches, l.CredentialMessages,
	} {
		counts[one.name] = one.exceeded.Load()
	}
	return counts
}
