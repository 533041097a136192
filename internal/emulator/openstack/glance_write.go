package openstack

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// ImageService is how the cloud's Glance stores images. Their marks are of the world; of their content the sums and the
// first bytes are kept.
type ImageService struct {
	Quota      int64 // bytes of a project's images; 0 = no limit
	Properties int   // of an image; 0 = 128
	Members    int   // of an image; 0 = 128
	LengthOnly bool  // an upload without a length is refused, as by Apache before Glance
	Clones     bool  // an image from which VMs run cannot be deleted, as with Ceph
}

// contents are what was uploaded, as far as it is kept.
type contents struct {
	mu sync.Mutex
	of map[string][]byte // by image: all of it, up to keptContent bytes
}

// keptContent is how much of an image's content can be read back.
const keptContent = 16 << 20

// Content gives what was uploaded into an image, if all of it is kept.
func (c *Cloud) Content(image string) ([]byte, bool) {
	c.contents.mu.Lock()
	defer c.contents.mu.Unlock()
	body, ok := c.contents.of[image]
	return slices.Clone(body), ok
}

func (c *Cloud) glanceWrites() {
	for pattern, do := range map[string]func(http.ResponseWriter, *http.Request, *token, world.Image){
		"PATCH /image/v2/images/{id}":                    c.patchImage,
		"PUT /image/v2/images/{id}/file":                 c.putFile,
		"DELETE /image/v2/images/{id}":                   c.deleteImage,
		"POST /image/v2/images/{id}/actions/deactivate":  c.switchImage("deactivated"),
		"POST /image/v2/images/{id}/actions/reactivate":  c.switchImage("active"),
		"POST /image/v2/images/{id}/members":             c.addMember,
		"DELETE /image/v2/images/{id}/members/{project}": c.removeMember,
	} {
		c.mux.HandleFunc(pattern, c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
			i, ok := c.w.Image(r.PathValue("id"))
			switch {
			case !ok || !sees(t, i):
				refuse(w, r, http.StatusNotFound, "No image found with ID "+r.PathValue("id"))
			case !c.writesImages(t) || i.Owner != t.project && !t.admin():
				refuse(w, r, http.StatusForbidden, "You are not authorized to complete this action.")
			default:
				do(w, r, t, i)
			}
		}))
	}
	c.mux.HandleFunc("POST /image/v2/images", c.authed(c.createImage))
	c.mux.HandleFunc("PUT /image/v2/images/{id}/members/{project}", c.authed(c.acceptImage))
	c.mux.HandleFunc("GET /image/v2/images/{id}/file", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		i, ok := c.w.Image(r.PathValue("id"))
		body, kept := c.Content(r.PathValue("id"))
		switch {
		case !ok || !sees(t, i):
			refuse(w, r, http.StatusNotFound, "No image found with ID "+r.PathValue("id"))
		case i.Status == "deactivated" && !t.admin():
			refuse(w, r, http.StatusForbidden, "The requested image has been deactivated. Image data download is forbidden.")
		case !kept:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(body)
		}
	}))
}

// writesImages tells whether a token's role lets it write images: a member's, where Glance enforces that; before,
// any role did.
func (c *Cloud) writesImages(t *token) bool {
	return t.project != "" && (!c.opts.Era.MembersImages || t.admin() || slices.Contains(t.roles, "member"))
}

// ownKeys are those of an image that nobody may write as a property.
var ownKeys = []string{"id", "status", "owner", "size", "virtual_size", "checksum", "created_at", "updated_at", "file", "self", "schema", "os_hash_algo", "os_hash_value", "direct_url", "locations", "stores"}

func (c *Cloud) createImage(w http.ResponseWriter, r *http.Request, t *token) {
	var body map[string]any
	switch {
	case !c.writesImages(t):
		refuse(w, r, http.StatusForbidden, "You are not authorized to complete this action.")
		return
	case json.NewDecoder(io.LimitReader(r.Body, 16<<20)).Decode(&body) != nil:
		refuse(w, r, http.StatusBadRequest, "Malformed JSON in request body.")
		return
	}
	i := world.Image{ID: newID(), Owner: t.project, Status: "queued", Visibility: "shared", ContainerFormat: "bare", Properties: map[string]string{}, Created: c.now(), Updated: c.now()}
	if !c.opts.Era.sharedImages() {
		i.Visibility = "private"
	}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		if status, problem := c.set(&i, t, key, body[key]); status != 0 {
			refuse(w, r, status, problem)
			return
		}
	}
	if status, problem := c.tooMuch(i); status != 0 {
		refuse(w, r, status, problem)
		return
	}
	c.w.AddImage(i)
	w.Header().Set("Location", c.Base()+"/image/v2/images/"+i.ID)
	if c.opts.Era.hiddenImages() {
		w.Header().Set("OpenStack-Image-Import-Methods", "glance-direct,web-download,copy-image")
		w.Header().Set("OpenStack-Image-Store-Ids", "file")
	}
	reply(w, http.StatusCreated, c.image(i))
}

// done answers that there is nothing to say, in the type that Glance's library says it in.
func done(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(http.StatusNoContent)
}

// newID is as Glance makes them.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// set sets what of an image can be set, or says why not.
func (c *Cloud) set(i *world.Image, t *token, key string, value any) (status int, problem string) {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	flag, isFlag := value.(bool)
	wrong := func() (int, string) {
		return http.StatusBadRequest, fmt.Sprintf("Provided object does not match schema 'image': %v is not valid under any of the given schemas: %s", value, key)
	}
	switch {
	case slices.Contains(ownKeys, key):
		return http.StatusForbidden, "Attribute '" + key + "' is read-only."
	case key == "name" && isText:
		if i.Name = text; len(text) > 255 {
			return http.StatusBadRequest, "Provided object does not match schema 'image': name is too long"
		}
	case key == "disk_format" && isText:
		i.DiskFormat = text
	case key == "container_format" && isText:
		i.ContainerFormat = text
	case key == "min_disk" && isNumber:
		i.MinDisk = int64(number)
	case key == "min_ram" && isNumber:
		i.MinRAM = int64(number)
	case key == "protected" && isFlag:
		i.Protected = flag
	case key == "os_hidden" && isFlag && c.opts.Era.hiddenImages():
		i.Hidden = flag
	case key == "visibility" && isText:
		if !slices.Contains(c.visibilities(), text) {
			return wrong()
		}
		if text == "public" && !t.admin() {
			return http.StatusForbidden, "You are not authorized to complete publicize_image action."
		}
		if i.Visibility = text; text == "private" && !c.opts.Era.sharedImages() {
			i.Visibility = "shared" // what it is called there
		}
	case key == "tags":
		all, ok := value.([]any)
		if !ok {
			return wrong()
		}
		i.Tags = nil
		for _, tag := range all {
			i.Tags = append(i.Tags, fmt.Sprint(tag))
		}
	case slices.Contains([]string{"name", "disk_format", "container_format", "min_disk", "min_ram", "protected", "visibility"}, key), key == "os_hidden" && c.opts.Era.hiddenImages():
		return wrong()
	case !isText:
		return wrong()
	case len(key) > 255 || len(text) > 65535:
		return http.StatusBadRequest, "The value of property " + key[:min(len(key), 40)] + " is too long."
	default:
		i.Properties = maps.Clone(i.Properties)
		if i.Properties == nil {
			i.Properties = map[string]string{}
		}
		i.Properties[key] = text
	}
	return 0, ""
}

// visibilities are those that the release knows.
func (c *Cloud) visibilities() []string {
	if c.opts.Era.sharedImages() {
		return []string{"public", "private", "shared", "community"}
	}
	return []string{"public", "private"}
}

// mostTags is Glance's image_tag_quota.
const mostTags = 128

// tooMuch checks how much is said of an image.
func (c *Cloud) tooMuch(i world.Image) (int, string) {
	if most := c.imageService().Properties; len(i.Properties) > most {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("The limit has been exceeded on the number of allowed image properties. Attempted: %d, Maximum: %d", len(i.Properties), most)
	}
	if len(i.Tags) > mostTags {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("The limit has been exceeded on the number of allowed image tags. Attempted: %d, Maximum: %d", len(i.Tags), mostTags)
	}
	return 0, ""
}

func (c *Cloud) imageService() ImageService {
	s := c.opts.Images
	if s.Properties == 0 {
		s.Properties = 128
	}
	if s.Members == 0 {
		s.Members = 128
	}
	return s
}

// patchImage changes an image by JSON patch: all operations or none.
func (c *Cloud) patchImage(w http.ResponseWriter, r *http.Request, t *token, _ world.Image) {
	var all []struct {
		Op, Path string
		Value    any
	}
	if r.Header.Get("Content-Type") != "application/openstack-images-v2.1-json-patch" {
		w.Header().Set("Accept-Patch", "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch")
		refuse(w, r, http.StatusUnsupportedMediaType, "The request media type "+r.Header.Get("Content-Type")+" is not supported by this server.")
		return
	}
	if json.NewDecoder(io.LimitReader(r.Body, 16<<20)).Decode(&all) != nil {
		refuse(w, r, http.StatusBadRequest, "Malformed JSON in request body.")
		return
	}
	var (
		status  int
		problem string
	)
	i, ok := c.w.ChangeImage(r.PathValue("id"), func(i *world.Image) bool {
		for _, op := range all {
			key := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(op.Path, "/"))
			_, there := i.Properties[key]
			there = there || c.image(*i)[key] != nil || slices.Contains([]string{"name", "tags"}, key)
			switch {
			case op.Op == "remove" && i.Properties[key] == "" && !hasKey(i.Properties, key), op.Op == "replace" && !there:
				status, problem = http.StatusConflict, "Property "+key+" does not exist."
			case op.Op == "remove":
				i.Properties = maps.Clone(i.Properties)
				delete(i.Properties, key)
			case op.Op == "add", op.Op == "replace":
				status, problem = c.set(i, t, key, op.Value)
			default:
				status, problem = http.StatusBadRequest, "Operations must be one of \"add\", \"remove\", \"replace\"."
			}
			if status != 0 {
				return false
			}
		}
		if status, problem = c.tooMuch(*i); status != 0 {
			return false
		}
		i.Updated = c.now()
		return true
	})
	if !ok {
		refuse(w, r, max(status, http.StatusBadRequest), problem)
		return
	}
	reply(w, http.StatusOK, c.image(i))
}

func hasKey(m map[string]string, key string) bool { _, ok := m[key]; return ok }

// errCut is an upload that broke off.
var errCut = errors.New("cut")

// putFile takes an image's content. One that breaks off leaves the image queued, to be tried again.
func (c *Cloud) putFile(w http.ResponseWriter, r *http.Request, t *token, _ world.Image) {
	id := r.PathValue("id")
	s := c.imageService()
	if r.ContentLength < 0 && s.LengthOnly {
		refuse(w, r, http.StatusLengthRequired, "Length Required")
		return
	}
	i, ok := c.w.ChangeImage(id, func(i *world.Image) bool {
		if i.Status != "queued" {
			return false
		}
		i.Status, i.Updated = "saving", c.now()
		return true
	})
	if !ok {
		refuse(w, r, http.StatusConflict, "Image status transition from "+status(i)+" to saving is not allowed")
		return
	}
	again := func() {
		c.w.ChangeImage(id, func(i *world.Image) bool { i.Status, i.Updated = "queued", c.now(); return true })
	}
	var used int64
	for _, o := range c.w.AllImages() {
		if o.Owner == i.Owner && o.ID != id {
			used += o.Size
		}
	}
	got, err := c.take(r, s.Quota-used, s.Quota > 0)
	switch {
	case errors.Is(err, errOver):
		again()
		refuse(w, r, http.StatusRequestEntityTooLarge, "Project "+i.Owner+" is over a limit for image_size_total")
		return
	case err != nil:
		again()
		panic(http.ErrAbortHandler) // nobody is there to be told
	}
	if c.opts.Era.FormatsChecked && i.ContainerFormat == "bare" && !matches(i.DiskFormat, got.kept) {
		again()
		refuse(w, r, http.StatusUnsupportedMediaType, "Image content does not match disk_format="+i.DiskFormat)
		return
	}
	_, there := c.w.ChangeImage(id, func(i *world.Image) bool {
		i.Status, i.Updated, i.Size, i.MD5, i.SHA512, i.VirtualSize = "active", c.now(), got.n, got.md5, got.sha512, virtualSize(i.DiskFormat, got.kept, got.n)
		return true
	})
	if !there {
		refuse(w, r, http.StatusGone, "Image "+id+" was deleted meanwhile")
		return
	}
	if got.n <= keptContent {
		c.contents.mu.Lock()
		if c.contents.of == nil {
			c.contents.of = map[string][]byte{}
		}
		c.contents.of[id] = got.kept
		c.contents.mu.Unlock()
	}
	done(w)
}

// content is what came.
type content struct {
	n           int64
	md5, sha512 string
	kept        []byte
}

var errOver = errors.New("over the quota")

func (c *Cloud) take(r *http.Request, room int64, limited bool) (content, error) {
	short, long := md5.New(), sha512.New()
	var (
		kept bytes.Buffer
		got  content
		buf  = make([]byte, 256<<10)
	)
	for {
		n, err := r.Body.Read(buf)
		_, _ = short.Write(buf[:n])
		_, _ = long.Write(buf[:n])
		if got.n += int64(n); limited && got.n > room {
			return got, errOver
		}
		if kept.Len() < keptContent {
			kept.Write(buf[:min(n, keptContent-kept.Len())])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return got, fmt.Errorf("%w: %w", errCut, err)
		}
	}
	if r.ContentLength >= 0 && got.n != r.ContentLength {
		return got, errCut
	}
	got.md5, got.sha512, got.kept = hex.EncodeToString(short.Sum(nil)), hex.EncodeToString(long.Sum(nil)), kept.Bytes()
	return got, nil
}

// magics are how formats begin, as far as Glance's check is of interest: what is recognised must be what was said.
var magics = map[string]string{"qcow2": "QFI\xfb", "vmdk": "KDMV", "vhdx": "vhdxfile"}

func matches(format string, head []byte) bool {
	for name, magic := range magics {
		if bytes.HasPrefix(head, []byte(magic)) {
			return name == format || format == "raw" && name != "qcow2"
		}
	}
	return format == "raw" || format == "iso" || magics[format] == ""
}

// virtualSize is what Glance reads out of a header.
func virtualSize(format string, head []byte, size int64) int64 {
	switch {
	case format == "qcow2" && len(head) > 32:
		return int64(binary.BigEndian.Uint64(head[24:]))
	case format == "raw":
		return size
	}
	return -1
}

func (c *Cloud) deleteImage(w http.ResponseWriter, r *http.Request, _ *token, i world.Image) {
	switch {
	case i.Protected:
		refuse(w, r, http.StatusForbidden, "Image "+i.ID+" is protected and cannot be deleted.")
	case c.imageService().Clones && c.runs(i.ID):
		refuse(w, r, http.StatusConflict, "Image "+i.ID+" could not be deleted because it is in use: The image cannot be deleted because it has snapshot(s).")
	default:
		c.w.RemoveImage(i.ID)
		c.contents.mu.Lock()
		delete(c.contents.of, i.ID)
		c.contents.mu.Unlock()
		done(w)
	}
}

// runs tells whether a VM runs from the image.
func (c *Cloud) runs(image string) bool {
	return slices.ContainsFunc(c.shown(world.Query{}), func(v world.View) bool { return v.Image == image })
}

func (c *Cloud) switchImage(to string) func(http.ResponseWriter, *http.Request, *token, world.Image) {
	return func(w http.ResponseWriter, r *http.Request, _ *token, i world.Image) {
		if s := status(i); s != "active" && s != "deactivated" {
			refuse(w, r, http.StatusForbidden, "Not allowed to "+to+" an image in status '"+s+"'")
			return
		}
		c.w.ChangeImage(i.ID, func(i *world.Image) bool {
			if i.Status != to {
				i.Updated = c.now()
			}
			i.Status = to
			return true
		})
		done(w)
	}
}
