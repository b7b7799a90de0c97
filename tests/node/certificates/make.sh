#!/bin/sh
# Makes the certificates of the tests anew, with Debian's openssl and faketime: an authority, and certificates of it for this machine (fine, expired) and for
# another name. They are of no use elsewhere, so their keys may be here.
set -eu
cd "$(dirname "$0")"
faketime '2020-01-01' openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=a test's authority" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout authority.key -out authority.pem
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=a test" -keyout server.key -out server.csr
certificate() { # NAME ALT_NAMES OPTIONS...
    name=$1
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$2" >extensions
    shift 2
    faketime '2020-01-02' openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -extfile extensions "$@" -out "$name.pem"
}
certificate server "DNS:localhost,DNS:service.test,IP:127.0.0.1,IP:::1" -days 36500
certificate expired "DNS:localhost,IP:127.0.0.1" -days 30
certificate other "DNS:other.test" -days 36500
rm -f server.csr extensions authority.srl authority.key
