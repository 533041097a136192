// Package openstack is fedsite's way to an OpenStack cloud, and the only importer of gophercloud.
//
//	credential → sign in → catalog → microversion → page → own structs
//
// Accounting asks a Project for its VMs, discovery an Inventory for what the project is offered. Either value is one
// scoped token: every listing uses a token whose project is the project asked for, and a token of another scope is an
// error, never an empty result (design §4).
package openstack
