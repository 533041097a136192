// Package openstack is fedsite's way to an OpenStack cloud, and the only importer of gophercloud.
//
//	credential → sign in → catalog → microversion → page → own structs
//
// One Project value is one scoped token: every listing uses a token whose project is the project asked for, and a token
// of another scope is an error, never an empty result (design §4).
package openstack
