//go:build e2e

package e2e

import "testing"

func (p *comparison) clients(t *testing.T) {}
