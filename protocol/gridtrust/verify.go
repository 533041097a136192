package gridtrust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/fedsite/fedsite/protocol/smime"
)

// Verify finds a chain from a certificate to a root of the directory, through the directory's other authorities and the
// certificates handed in, and judges it. It fails with ErrUntrusted, ErrRevoked, ErrNoCRL or ErrName.
func (t *Trust) Verify(c *x509.Certificate, others []*x509.Certificate, o Options) (Verdict, error) {
	if o.Now.IsZero() {
		return Verdict{}, errors.New("verify a certificate: the time is required")
	}
	between := x509.NewCertPool()
	for _, authority := range slices.Concat(t.between, others) {
		between.AddCert(authority)
	}
	usages := o.Usages
	if len(usages) == 0 {
		usages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	chains, err := c.Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: between, CurrentTime: o.Now, KeyUsages: usages})
	if err != nil {
		return Verdict{}, fmt.Errorf("%w: %s: %w", ErrUntrusted, smime.SlashDN(c.RawSubject), err)
	}
	return t.Judge(chains, o)
}

// Judge looks at chains that were found otherwise: each from a certificate to a root of this directory, with signatures
// and validity checked. One chain that holds is enough; of several problems that of the first chain is given.
func (t *Trust) Judge(chains [][]*x509.Certificate, o Options) (Verdict, error) {
	if o.Now.IsZero() {
		return Verdict{}, errors.New("judge a certificate: the time is required")
	}
	first := fmt.Errorf("%w: no chain", ErrUntrusted)
	for i, chain := range chains {
		warnings, err := t.judge(chain, o)
		if err == nil {
			return Verdict{Chain: chain, Warnings: warnings}, nil
		}
		if i == 0 {
			first = err
		}
	}
	return Verdict{}, first
}

func (t *Trust) judge(chain []*x509.Certificate, o Options) ([]Warning, error) {
	var warnings []Warning
	for i := range len(chain) - 1 {
		for _, check := range []func(c, issuer *x509.Certificate, o Options) ([]Warning, error){t.checkCRL, t.checkName} {
			w, err := check(chain[i], chain[i+1], o)
			if err != nil {
				return nil, err
			}
			warnings = append(warnings, w...)
		}
	}
	return warnings, nil
}
