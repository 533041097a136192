# release.sh - what differs between the releases of OpenStack that the lab can run.
#
#   zed       Debian 12's packages. Each API but Keystone's and Placement's is a
#             daemon of its own, as Debian starts it.
#   current   2026.2, from PyPI into LAB_VENV (../current-release.txt). Its APIs
#             are WSGI applications and nothing else: Apache serves them all.
#
# A release says: PYTHON, which runs daemons and scripts; LAB_APACHE_APIS, the
# APIs in Apache; LAB_WSGI_OPTIONS for them; LAB_*_SHARE, where each service's
# paste file is; and release_version.

# What goes wrong when LAB_VENV is not what the list says is hard to read.
CURRENT_LIST=$LAB_HOME/current-release.txt
CURRENT_INSTALLED=$LAB_VENV/openstack-lab.txt      # the list that was installed

case $LAB_RELEASE in
    zed)
        # Debian's Python, never one from the caller's PATH (pyenv, a virtualenv, ...)
        PYTHON=/usr/bin/python3
        LAB_APACHE_APIS="keystone placement"
        LAB_WSGI_OPTIONS=
        LAB_NOVA_SHARE=/usr/share/nova-common
        LAB_NEUTRON_SHARE=/usr/share/neutron-common
        LAB_GLANCE_SHARE=/usr/share/glance-common
        LAB_CINDER_SHARE=/usr/share/cinder-common
        LAB_CINDER_FILTERS=/etc/cinder/resource_filters.json
        ;;
    current)
        PYTHON=$LAB_VENV/bin/python3
        PATH=$LAB_VENV/bin:$PATH                   # keystone-manage and the like
        LAB_APACHE_APIS="keystone placement nova neutron glance cinder"
        LAB_WSGI_OPTIONS="python-home=$LAB_VENV"
        LAB_NOVA_SHARE=$LAB_VENV/etc/nova
        LAB_NEUTRON_SHARE=$LAB_VENV/etc/neutron
        LAB_GLANCE_SHARE=$LAB_VENV/etc/glance
        LAB_CINDER_SHARE=$LAB_VENV/etc/cinder
        LAB_CINDER_FILTERS=$LAB_VENV/etc/cinder/resource_filters.json
        ;;
    *) die "LAB_RELEASE is zed or current, not '$LAB_RELEASE'" ;;
esac
export LAB_WSGI_OPTIONS LAB_NOVA_SHARE LAB_NEUTRON_SHARE LAB_GLANCE_SHARE LAB_CINDER_SHARE LAB_CINDER_FILTERS

in_apache() { [[ " $LAB_APACHE_APIS " == *" $1 "* ]]; }

# Is the release's software there? (Debian's says so itself when it is not.)
release_check() {
    [ "$LAB_RELEASE" = zed ] || cmp -s "$CURRENT_LIST" "$CURRENT_INSTALLED" ||
        die "$LAB_VENV does not hold what current-release.txt lists: LAB_RELEASE=current lab install"
}

# release_version SERVICE : of its code, so that what an upgrade calls for is done
release_version() {
    if [ "$LAB_RELEASE" = zed ]; then
        dpkg-query -W -f '${Version}' "python3-$1" 2>/dev/null || echo none
    else
        sed -nE "s/^(openstack-)?$1==//p" "$CURRENT_INSTALLED"
    fi
}
