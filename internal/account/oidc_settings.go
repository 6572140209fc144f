package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kaban"
	"kaban/internal/store"
)

// providerSettings are the settings of single sign-on.
type providerSettings struct {
	issuer, clientID, secretFile, name       string
	subjectClaim, usernameClaim, groupsClaim string
	scopes                                   []string
	groups                                   []groupGrant
	linkByEmail, create                      bool
	maxAge                                   time.Duration
}

// ErrNoProvider means that single sign-on is not set up.
var ErrNoProvider = errors.New("single sign-on is not set up; see the setting oidc.issuer")

// readProvider returns the settings of single sign-on, or ErrNoProvider.
func readProvider(tx store.Tx) (*providerSettings, error) {
	values := make(map[string]string)
	for i := range registry {
		key, isOIDC := strings.CutPrefix(registry[i].key, "oidc.")
		if !isOIDC {
			continue
		}
		value, err := readSetting(tx, registry[i].key)
		if err != nil {
			return nil, err
		}
		values[key] = value
	}
	if values["issuer"] == "" || values["client_id"] == "" {
		return nil, ErrNoProvider
	}
	set := &providerSettings{
		issuer: values["issuer"], clientID: values["client_id"], secretFile: values["client_secret_file"],
		name: values["name"], subjectClaim: values["subject_claim"], usernameClaim: values["username_claim"],
		groupsClaim: values["groups_claim"], scopes: strings.Fields(values["scopes"]),
		linkByEmail: values["link_by_email"] == "true", create: values["create"] == "true",
	}
	if !slices.Contains(set.scopes, "openid") {
		set.scopes = append([]string{"openid"}, set.scopes...)
	}
	var err error
	if set.maxAge, err = ParseAge(values["max_age"]); err != nil {
		return nil, fmt.Errorf("%w: oidc.max_age: %w", store.ErrDamaged, err)
	}
	if set.groups, err = parseGroups(values["groups"]); err != nil {
		return nil, fmt.Errorf("%w: oidc.groups: %w", store.ErrDamaged, err)
	}
	return set, nil
}

// wanted returns the claims that make a difference.
func (set *providerSettings) wanted() []string {
	claims := []string{set.subjectClaim, set.usernameClaim}
	if len(set.groups) > 0 {
		claims = append(claims, set.groupsClaim)
	}
	if set.linkByEmail {
		claims = append(claims, "email")
	}
	return claims
}

// groupGrant is what a group gives: a role on the server or a room.
type groupGrant struct {
	group string
	role  kaban.Role // 0 if it gives a room
	room  kaban.RoomName
}

// maxGroupGrants is the maximum number of grants in the setting oidc.groups.
const maxGroupGrants = 200

// parseGroups returns the grants in a text such as "staff=member,dev=#backend". A comma
// or a backslash in the name of a group follows a backslash, and the last "=" separates.
func parseGroups(s string) (grants []groupGrant, err error) {
	for _, part := range splitGrants(s) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		i := strings.LastIndexByte(part, '=')
		if i < 1 {
			return nil, fmt.Errorf("%.100q is not like admins=admin or dev=#backend", part)
		}
		g := groupGrant{group: strings.TrimSpace(part[:i])}
		given := strings.TrimSpace(part[i+1:])
		if room, isRoom := strings.CutPrefix(given, "#"); isRoom {
			g.room, err = kaban.ParseRoomName(room)
		} else if g.role, err = kaban.ParseRole(given); err != nil {
			err = fmt.Errorf("%.100q is no role; a room is written #%.100s", given, given)
		}
		switch {
		case err != nil:
			return nil, err
		case g.group == "" || len(g.group) > maxClaimedGroup:
			return nil, fmt.Errorf("%.100q is no name of a group", g.group)
		case len(grants) == maxGroupGrants:
			return nil, fmt.Errorf("there are more than %d grants", maxGroupGrants)
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// splitGrants separates at commas that follow no backslash, and removes the backslashes.
func splitGrants(s string) (parts []string) {
	var part strings.Builder
	escaped := false
	for _, c := range s {
		switch {
		case escaped:
			part.WriteRune(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == ',':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteRune(c)
		}
	}
	return append(parts, part.String())
}

// checkGroups is the parser of the setting oidc.groups.
func checkGroups(s string) (string, error) {
	s, err := parseText(s)
	if err == nil {
		_, err = parseGroups(s)
	}
	return s, err
}

// checkClaim is the parser of settings that name a claim.
func checkClaim(s string) (string, error) {
	s, err := parseText(s)
	if err == nil && (s == "" || len(s) > maxClaimedGroup) {
		err = errors.New("it is no name of a claim")
	}
	return s, err
}
