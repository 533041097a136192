"""lab seed - an example tenancy: three VOs with users, images, servers ...

Run twice, it adds nothing (it makes no servers if a project has any), but it
checks the servers again.
Logins go to $LAB_DIR/clouds.yaml, one cloud per user and project.
"""
import hashlib
import io
import os

import yaml

import labcloud
import seed_servers
from labcloud import SERVICES, login

# project: (VO as a site's mapping would have it, {user: role})
PROJECTS = {
    'vo-ops': ('ops', {'ops-user': 'member'}),
    'vo-fedcloud': ('fedcloud.egi.eu', {'fedcloud-user': 'member',
                                        'fedcloud-guest': 'user'}),
    'vo-biomed': ('biomed', {'biomed-user': 'member'}),
}
# These work for all projects; admin as an administrator who reads them all.
SERVICE_USERS = {'accounting': ['reader'],
                 'image-sync': ['member', 'image_manager'],
                 'admin': ['admin']}
# On the system, so that it may read other users' names.
SYSTEM_ROLES = {'accounting': 'reader'}
QUOTA = {  # project: (servers, cores, ram MiB, floating ips, volumes, GB)
    'vo-ops': (10, 20, 40960, 5, 10, 100),
    'vo-fedcloud': (50, 200, 819200, 20, 50, 5000),
    'vo-biomed': (100, 1000, 4096000, 10, 100, 20000),
}
MPURI = ('https://appdb.example.org/store/vm/image/'
         'f8b2b1f0-5bd6-4a1e-9c1e-1f0a4f0b0001:42/')
# name: (project or None for a public one, properties)
IMAGES = {
    'ubuntu-22.04': (None, dict(
        os_distro='ubuntu', os_version='22.04', os_type='linux',
        architecture='x86_64', hw_rng_model='virtio', hw_disk_bus='virtio')),
    'almalinux-9': (None, dict(
        os_distro='almalinux', os_version='9', os_type='linux',
        architecture='x86_64', hw_firmware_type='uefi')),
    'debian-12-arm64': (None, dict(
        os_distro='debian', os_version='12', os_type='linux',
        architecture='aarch64')),
    'EGI Small Ubuntu': ('vo-fedcloud', {
        'os_distro': 'ubuntu', 'os_version': '20.04', 'os_type': 'linux',
        'architecture': 'x86_64',
        'dc:identifier': 'f8b2b1f0-5bd6-4a1e-9c1e-1f0a4f0b0001',
        'ad:mpuri': MPURI,
        'vmcatcher_event_ad_mpuri': MPURI,     # what accounting records name
        'eu.egi.cloud.vo': 'fedcloud.egi.eu'}),
}


def identity(admin):
    ks = admin.identity
    roles = {r.name: r for r in ks.roles()}
    clouds = {}
    for name, (vo, users) in PROJECTS.items():
        project = ks.find_project(name) or ks.create_project(
            name=name, domain_id='default', description='VO ' + vo,
            **{'egi.VO': vo})
        members = {u: [r] for u, r in users.items()}
        members.update(SERVICE_USERS)
        for user_name, role_names in members.items():
            user = ks.find_user(user_name) or ks.create_user(
                name=user_name, password=labcloud.PASSWORD,
                domain_id='default', email=user_name + '@example.org')
            for role in role_names:
                ks.assign_project_role_to_user(project, user, roles[role])
            clouds['%s@%s' % (user_name, name)] = {
                'region_name': labcloud.REGION, 'identity_api_version': 3,
                'auth': {
                    'auth_url': labcloud.AUTH_URL, 'username': user_name,
                    'password': labcloud.PASSWORD, 'project_name': name,
                    'user_domain_name': 'Default',
                    'project_domain_name': 'Default'}}
    for user_name, role in SYSTEM_ROLES.items():
        ks.assign_system_role_to_user(ks.find_user(user_name), roles[role],
                                      'all')
        cloud = clouds[user_name + '@vo-ops']
        auth = {k: v for k, v in cloud['auth'].items()
                if not k.startswith('project')}
        clouds[user_name + '@system'] = dict(
            cloud, auth=dict(auth, system_scope='all'))
    path = os.path.join(os.environ['LAB_DIR'], 'clouds.yaml')
    with open(path) as f:
        config = yaml.safe_load(f)
    config['clouds'].update(clouds)
    with open(path, 'w') as f:
        yaml.safe_dump(config, f, sort_keys=False)


def quotas(admin):
    for name, (servers, cores, ram, ips, volumes, gigabytes) in QUOTA.items():
        if 'nova' in SERVICES:
            admin.set_compute_quotas(name, instances=servers, cores=cores,
                                     ram=ram)
        if 'neutron' in SERVICES:
            admin.set_network_quotas(name, floatingip=ips)
        if 'cinder' in SERVICES:
            admin.set_volume_quotas(name, volumes=volumes, gigabytes=gigabytes,
                                    snapshots=volumes)


def images(admin):
    for name, (project, properties) in IMAGES.items():
        if admin.image.find_image(name):
            continue
        cloud = login('image-sync', project) if project else admin
        data = (name * 50000).encode()[:256 * 1024]
        image = cloud.image.create_image(
            name=name, disk_format='raw', container_format='bare',
            visibility='shared' if project else 'public', min_disk=1,
            data=io.BytesIO(data), **properties)
        if not project:
            continue
        # one more project gets it, as image sync does for a second VO
        other = admin.identity.find_project('vo-ops').id
        cloud.image.add_member(image, member_id=other)
        login('image-sync', 'vo-ops').image.update_member(
            other, image, status='accepted')


def objects():
    fed = login('fedcloud-user', 'vo-fedcloud').object_store
    fed.create_container('results')
    for i in range(3):
        data = hashlib.sha256(str(i).encode()).hexdigest() * 1000
        fed.upload_object('results', 'run-%d.txt' % i, data=data)


def main():
    admin = login()
    identity(admin)
    quotas(admin)
    if 'glance' in SERVICES:
        images(admin)
    if {'nova', 'glance', 'neutron'} <= set(SERVICES):
        seed_servers.make(admin)
        seed_servers.check(admin)
    if 'swift' in SERVICES:
        objects()
    print('seeded; logins are in %s/clouds.yaml' % os.environ['LAB_DIR'])


if __name__ == '__main__':
    main()
