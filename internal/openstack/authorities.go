package openstack

import (
	"context"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// Authorities is who vouches for Keystone's server, and whose users' certificates it says it takes.
type Authorities struct {
	Plain     bool      // it is reached without TLS: there is nothing to tell
	Issuer    string    // of the server's certificate, in slash form: /C=NL/O=Example/CN=Example CA
	Expires   time.Time // when that certificate does
	ClientCAs []string  // names in slash form; nil = it offers none
}

// Authorities secures a connection to Keystone, and tells what it shows, whether or not anybody is signed in.
func (c *Cloud) Authorities(ctx context.Context) (Authorities, error) {
	if !strings.HasPrefix(c.identity, "https:") {
		return Authorities{Plain: true}, nil
	}
	shown, err := c.cfg.Shake(ctx, c.identity)
	if err != nil {
		return Authorities{}, translate("identity", "TLS", c.identity, err)
	}
	if len(shown.Chain) == 0 {
		return Authorities{}, &Error{Kind: ErrBadAnswer, Service: "identity", Method: "TLS", Path: pathOf(c.identity), Message: "the server shows no certificate"}
	}
	a := Authorities{Issuer: smime.SlashDN(shown.Chain[0].RawIssuer), Expires: shown.Chain[0].NotAfter}
	for _, name := range shown.ClientCAs {
		if dn := smime.SlashDN(name); dn != "" {
			a.ClientCAs = append(a.ClientCAs, dn)
		}
	}
	return a, nil
}
