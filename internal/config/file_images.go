package config

type fileImages struct {
	said
	Mode          text              `key:"mode" default:"observe" enum:"disabled|observe|active" doc:"observe: ask sources and Glance and plan, change nothing. active: bring images too. Without sources nothing is done."`
	Schedule      imagesCron        `key:"schedule" doc:"When it runs, UTC: a cron expression, or a mapping of sync and check to one each. Left out: every ten minutes, and the checks hourly, at moments of the site's own."`
	Instance      text              `key:"instance" default:"fedsite" pattern:"^[A-Za-z0-9._-]+$" words:"of letters, digits, ., - and _" doc:"Who manages the images, as their marks say. Two programs that bring images to the same projects need two names; images of the other are left alone."`
	Formats       []text            `key:"formats" default:"[qcow2]" enum:"qcow2|raw|vmdk|vdi|vhd|vhdx|ova|iso" doc:"Disk formats that the site takes, the preferred one first. Others are converted."`
	Sharing       text              `key:"sharing" default:"copy" enum:"copy|members" doc:"copy: an image for each project. members: one for each disk, which its owner's project shares with the others."`
	Owner         text              `key:"owner" doc:"Of sharing: members: VO whose project owns the images. Left out: an image stays in the project that has it, and a new one is for the first VO of the source."`
	Visibility    text              `key:"visibility" default:"private" enum:"private|shared|community|public" doc:"Of images that are not shared by members. public needs an administrator."`
	NamePrefix    text              `key:"name_prefix" maxlen:"100" doc:"Stands before each image's name."`
	Properties    dict[text]        `key:"properties" doc:"Properties that every image gets, as hw_scsi_model."`
	MinDisk       flag              `key:"min_disk" default:"true" doc:"The size of the disk, rounded up to GiB, is said as the smallest one."`
	KeepLast      number            `key:"keep_last" default:"0" min:"0" max:"10" doc:"Former versions of an image that stay, hidden."`
	OnExpired     text              `key:"on_expired_list" default:"keep" enum:"keep|retire" doc:"What becomes of the images of a list that has ended."`
	MaxRemoval    fileRemoval       `key:"max_removal" doc:"What goes from a source in one run at most; more is held until fedsite images apply --allow-mass-removal. All of a source's images are always held."`
	Parallel      number            `key:"parallel" default:"2" min:"1" max:"16" doc:"Images that are brought at once, one from each server."`
	MaxSize       size              `key:"max_size" default:"100GB" doc:"Largest file."`
	MaxVirtual    size              `key:"max_virtual_size" default:"1TB" doc:"Largest disk, as a VM sees it."`
	Staging       text              `key:"staging" default:"auto" enum:"auto|never|always" doc:"When a file is kept on disk on its way. auto: when it has to be converted or seen whole, is larger than stage_above, or its stream broke off twice."`
	StagingDir    text              `key:"staging_dir" default:"/image_data" format:"path" doc:"Where. It must be fedsite's own, with room for the largest image twice."`
	StageAbove    size              `key:"stage_above" default:"20GiB" doc:"Larger files are staged."`
	QemuImg       text              `key:"qemu_img" default:"/usr/bin/qemu-img" format:"path" doc:"The program that converts."`
	CADir         text              `key:"ca_dir" default:"/etc/grid-security/certificates" format:"path" doc:"Certificate authorities that list endorsers are measured against, as IGTF installs them."`
	CRL           text              `key:"crl" default:"if-present" enum:"off|if-present|require" doc:"Revocation lists of these authorities. if-present: one that is missing or out of date is a notice. require: then no list is believed."`
	AllowSHA1     flag              `key:"allow_sha1" default:"false" doc:"Lists that are signed with SHA-1 are believed, as old ones are."`
	StrictPurpose flag              `key:"strict_smime_purpose" default:"false" doc:"An endorser's certificate must be for e-mail. The AppDB signed with a host's."`
	SigningPolicy flag              `key:"signing_policy" default:"false" doc:"An authority may give only the names that its signing policy allows."`
	Compressed    flag              `key:"compressed" default:"false" doc:"Disks that are packed by gzip, bzip2, xz or zstd are taken, and unpacked where files are staged."`
	Adopt         []text            `key:"adopt" doc:"Images of other managers that are taken over, if they are the same disk: cloudkeeper-os, atrope (or its tag, as atrope-catchall), or ids in Glance."`
	Blocks        text              `key:"blocks" format:"path" doc:"File with images that are never brought; fedsite images block writes it. Left out: blocks.yaml beside the configuration."`
	StaleUpload   duration          `key:"stale_upload" default:"24h" min:"1h" max:"30d" doc:"An upload that has not moved for so long is taken away."`
	GoneAfter     duration          `key:"gone_after" default:"1h" min:"10m" max:"30d" doc:"So far apart two complete listings of a registry must lack an image before it is retired."`
	Hook          *fileHook         `key:"hook" doc:"A registry may call when something was pushed; then sources are asked at once."`
	Network       *fileNetwork      `key:"network" doc:"Overrides network for sources, key by key; proxy: \"\" is none."`
	Sources       []fileImageSource `key:"sources" doc:"Where images come from. Each entry is of one kind: list, oci or own. Required to be active."`
}

type fileRemoval struct {
	said
	Count   number `key:"count" default:"3" min:"0" doc:"Images that may go."`
	Percent number `key:"percent" default:"50" min:"0" max:"100" doc:"Percent of the source's images that may go, if that is more."`
}

type fileImageSource struct {
	said
	Name         text          `key:"name" pattern:"^[A-Za-z0-9._-]+$" words:"of letters, digits, ., - and _" doc:"Name of your choice, unique within the site. Left out: the kind; of a second one of it, oci-2 and so on."`
	VOs          words         `key:"vos" doc:"VOs that get its images, or \"*\" for all of the site. Left out: the VO that a list names; the other kinds need it."`
	Images       words         `key:"images" doc:"Only these, by their ids: dc:identifier of a list, repository:tag of a registry. Left out: all."`
	List         listURL       `key:"list" doc:"URL of an image list that its endorser signed. A token in it, as https://TOKEN:x-oauth-basic@…, is not shown."`
	Token        secret        `key:"token" doc:"Personal access token of AppDB for the list, in place of one in its URL."`
	Endorser     *fileEndorser `key:"endorser" doc:"Who must have signed the list. Strongly advised: left out, whoever the list itself names may."`
	Insecure     flag          `key:"insecure_unsigned" doc:"true: a list without a signature is believed. Whoever can answer in the server's place then chooses the images."`
	Servers      dict[text]    `key:"server_credentials" doc:"How to sign in at servers of the list's image files: names under credentials of the kind basic, by host."`
	OCI          text          `key:"oci" doc:"An OCI registry: its host, or its URL, with a project of Harbor behind it or not: registry.egi.eu/egi_vm_images."`
	Project      text          `key:"project" doc:"Project of Harbor, whose repositories are listed."`
	ProjectIsVO  flag          `key:"project_is_vo" doc:"true: each project of Harbor that is called as a VO of the site is that VO's."`
	Repositories words         `key:"repositories" doc:"Repositories, of any registry, in place of a project."`
	Tags         text          `key:"tags" doc:"Regular expression of the registry's tags that are images. Left out: ^[^-]*$, because EGI's moving tags have no dash."`
	Annotation   text          `key:"annotation" doc:"Annotation without which what is in a registry is no image of the federation. Left out: eu.egi.cloud.tag; none: everything is one."`
	Credential   text          `key:"credential" doc:"A name under credentials of the kind basic, for a registry that does not serve everybody."`
	Own          text          `key:"own" doc:"The site's own list, a YAML file: its path, or its URL. It is believed as it stands."`
}

type fileEndorser struct {
	said
	DN text `key:"dn" pattern:"^/.+=.+" words:"a name like /DC=EU/DC=EGI/CN=appdb.example.org" doc:"Subject of its certificate, in OpenSSL's slash form."`
	CA text `key:"ca" pattern:"^/.+=.+" words:"a name like /DC=org/CN=Example CA" doc:"Issuer of its certificate, or an authority above."`
}

type fileHook struct {
	said
	Secret secret `key:"secret" required:"true" doc:"What the caller of POST /hooks/registry must know: the header Authorization, alone or after Bearer."`
}
