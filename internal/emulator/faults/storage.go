package faults

import (
	"net/http"
	"time"
)

// ObjectStore is the place of faults of object storage.
const ObjectStore Place = "object-store"

// Storage gives the named faults of object storage, which strike what is stored there. They are not among All: accounting
// stores nothing, and the demo has no object storage.
func Storage() []Named {
	var all []Named
	add := func(name, text string, heals bool, e Effect) {
		n := Named{Name: name, Place: ObjectStore, Text: text, Heals: heals, Fault: Fault{Service: "object-store", Method: http.MethodPut, Path: "/v1/*/*/*", Times: -1, Effect: e}}
		if heals {
			n.Fault.Times = 1
		}
		all = append(all, n)
	}
	const stays = ": the document that is there stays, and the next run publishes again"
	add("store-token-expired", "a token is refused in the middle of a run (401): fedsite signs in anew, and goes on", true, Effect{Status: 401, Body: swift(401, "This server could not verify that you are authorized to access the document you requested.")})
	add("store-401", "the object storage knows no token"+stays, false, Effect{Status: 401, Body: swift(401, "This server could not verify that you are authorized to access the document you requested.")})
	add("store-403", "the role is not one that may store: the run says which is missing", false, Effect{Status: 403, Body: swift(403, "Access was denied to this resource.")})
	add("store-404", "the container is not there, and cannot be found when it was made"+stays, false, Effect{Status: 404, Body: swift(404, "The resource could not be found.")})
	add("store-413", "the quota is used up"+stays, false, Effect{Status: 413, Body: swift(413, "Upload exceeds quota.")})
	add("store-422", "what arrives is not what was sent, by its sum"+stays, false, Effect{Status: 422, Body: swift(422, "Unable to process the contained instructions")})
	add("store-429", "too many requests, come again in 1 second: fedsite does", true, Effect{Status: 429, RetryAfter: "1"})
	add("store-503", "a balancer finds no object storage (503, HTML)"+stays, false, Effect{Status: 503, Body: balancer})
	add("store-507", "the disks are full"+stays, false, Effect{Status: 507, Body: swift(507, "There was not enough space to save the resource.")})
	add("store-no-answer", "the connection is closed during the upload"+stays, false, Effect{Unread: true})
	add("store-timeout", "no answer in time"+stays, false, Effect{Delay: time.Minute, Unread: true})
	add("store-lost-answer", "the document is stored, and no answer arrives: fedsite looks, and finds it", true, Effect{Lost: true})
	add("store-wrong-sum", "the store says the sum of something else: not taken for published", false, Effect{Header: http.Header{"Etag": {"d41d8cd98f00b204e9800998ecf8427e"}}})
	add("store-html", "a proxy answers a page with status 200, and stores nothing: not taken for published", false, Effect{Status: 200, Body: balancer})
	return all
}

// swift is an error as Swift puts it.
func swift(code int, message string) string {
	return "<html><h1>" + http.StatusText(code) + "</h1><p>" + message + "</p></html>"
}
