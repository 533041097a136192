package faults

import "net/http"

// Glance is the place of faults of images' content.
const Glance Place = "Glance"

// Images gives the named faults that strike the content of an image on its way to Glance. They are not among All: accounting
// and discovery upload nothing.
func Images() []Named {
	var all []Named
	add := func(name, text string, e Effect) {
		all = append(all, Named{Name: name, Place: Glance, Text: text, Fault: Fault{Service: "image", Method: http.MethodPut, Path: "/v2/images/*/file", Times: -1, Effect: e}})
	}
	const some = 64 << 10 // bytes that Glance has by then
	add("image-401-late", "the token ends in the middle of an upload (401): the image stays without content, and the next run begins with a fresh token", Effect{After: some, Status: 401, Body: glance(401, "Authentication error - the token may have expired during file upload.")})
	add("image-409", "the image has its content, or gets it from somebody else: it is left to them", Effect{Status: 409, Body: glance(409, "Image status transition from saving to saving is not allowed")})
	add("image-413", "the quota of images is used up: the run says whose, and uploads no more there", Effect{After: some, Status: 413, Body: glance(413, "Image storage media is full")})
	add("image-415", "Glance looks into the content and refuses it: it is not sent again", Effect{After: some, Status: 415, Body: glance(415, "Image content did not match its disk_format")})
	add("image-503", "a balancer finds no Glance (503, HTML): the next run goes on", Effect{Status: 503, Body: balancer})
	add("image-cut", "the connection is cut in the middle of an upload: the image stays without content, and the next run goes on", Effect{After: some, Unread: true})
	add("image-lost-answer", "Glance has all of the image, and its answer does not arrive: the next run finds it there", Effect{Lost: true})
	return all
}

// glance is an error as Glance puts it.
func glance(code int, message string) string {
	return "<html><head><title>" + http.StatusText(code) + "</title></head><body>" + message + "</body></html>"
}
