// Makes certificates with OpenSSL: see the header.
#include "support/certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <fstream>
#include <memory>

#include "support/openssl_require.h"

namespace ringcast {

namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> reader_of(const std::string& pem) {
  return Owned<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

Owned<EVP_PKEY> make_key(TestKey kind) {
  switch (kind) {
    case TestKey::p256:
      return Owned<EVP_PKEY>(EVP_EC_gen("P-256"));
    case TestKey::secp256k1:
      return Owned<EVP_PKEY>(EVP_EC_gen("secp256k1"));
    case TestKey::rsa2048:
      return Owned<EVP_PKEY>(EVP_RSA_gen(2048));
    case TestKey::rsa1024:
      return Owned<EVP_PKEY>(EVP_RSA_gen(1024));
    case TestKey::ed25519:
      return Owned<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  }
  std::abort();
}

void extend(X509* certificate, int nid, const char* value) {
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  require_openssl(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

}  // namespace

TestCertificate make_test_certificate(const TestCertificateOptions& options) {
  const Owned<EVP_PKEY> key = make_key(options.key);
  const Owned<X509> certificate(X509_new());
  require_openssl(key != nullptr && certificate != nullptr);

  X509_set_version(certificate.get(), X509_VERSION_3);
  // Unlike from one to the next: two of one issuer and one number confuse browsers.
  BIGNUM* number = BN_new();
  require_openssl(BN_rand(number, 64, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), options.begins_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), options.ends_s);
  X509_set_pubkey(certificate.get(), key.get());

  X509_NAME* name = X509_get_subject_name(certificate.get());
  const auto* common_name = reinterpret_cast<const unsigned char*>(options.common_name.c_str());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, common_name, -1, -1, 0);

  Owned<X509> issuer;
  Owned<EVP_PKEY> issuer_key;
  if (options.issuer != nullptr) {
    issuer.reset(
        PEM_read_bio_X509(reader_of(options.issuer->certificate_pem).get(), nullptr, nullptr, nullptr));
    issuer_key.reset(
        PEM_read_bio_PrivateKey(reader_of(options.issuer->key_pem).get(), nullptr, nullptr, nullptr));
    require_openssl(issuer != nullptr && issuer_key != nullptr);
  }
  X509_set_issuer_name(certificate.get(), issuer != nullptr ? X509_get_subject_name(issuer.get()) : name);
  extend(certificate.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
  extend(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");

  EVP_PKEY* signer = issuer_key != nullptr ? issuer_key.get() : key.get();
  const EVP_MD* digest = EVP_PKEY_is_a(signer, "ED25519") ? nullptr : EVP_sha256();
  require_openssl(X509_sign(certificate.get(), signer, digest) > 0);

  const Owned<BIO> certificate_out(BIO_new(BIO_s_mem()));
  const Owned<BIO> key_out(BIO_new(BIO_s_mem()));
  require_openssl(PEM_write_bio_X509(certificate_out.get(), certificate.get()) == 1);
  require_openssl(PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
                  1);
  return {text_of(certificate_out.get()), text_of(key_out.get())};
}

std::string encrypt_test_key(const std::string& key_pem, const std::string& passphrase) {
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader_of(key_pem).get(), nullptr, nullptr, nullptr));
  const Owned<BIO> out(BIO_new(BIO_s_mem()));
  require_openssl(key != nullptr &&
                  PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), EVP_aes_256_cbc(), passphrase.c_str(),
                                                static_cast<int>(passphrase.size()), nullptr, nullptr) == 1);
  return text_of(out.get());
}

TestCertificateFiles write_test_certificate(const TestCertificate& certificate, const std::string& folder) {
  TestCertificateFiles files{folder + "/certificate.pem", folder + "/key.pem"};
  require_openssl((std::ofstream(files.certificate) << certificate.certificate_pem).flush().good());
  require_openssl((std::ofstream(files.key) << certificate.key_pem).flush().good());
  return files;
}

}  // namespace ringcast
