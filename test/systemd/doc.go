// Package systemd holds the unit of the service to what systemd says of it, and to what the documentation says.
package systemd
