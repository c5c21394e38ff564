/* Made by tests/tools/sign_requests.py: requests signed by botocore. */
#ifndef TESTS_UNIT_SERVER_SIGNATURES_H
#define TESTS_UNIT_SERVER_SIGNATURES_H

#include <stdint.h>

#define SIGNED_AT_S INT64_C(1795209820)
#define SIGNED_ACCESS_KEY "AKIAIOSFODNN7EXAMPLE"
#define SIGNED_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define SIGNED_TOKEN "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQ+/=="
#define SIGNED_REGION "eu-central-1"

/* clang-format off */
static const struct {
    const char *name;
    const char *text;          /* as tests/support/signed_request.h reads it */
    const char *canonical_hex; /* SHA-256 of botocore's canonical request */
    int has_token;
} signed_requests[] = {
    {"the aws cli",
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "Content-Type: application/json\n"
     "User-Agent: aws-cli/2.9.19 Python/3.11.2\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=a20ec42749a5b41ca9c9abd869ef2cb94c7ffa3214f6ceaec877d06918e96482\n",
     "abb73990248e7163b6489867f178368aa9ec0055badb396c9a6cfb76594363a8", 0},
    {"no body, no headers",
     "GET /\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ee0f65b04ca5aac0bddf9d4e399121449e9b13267b779338514a86c3a2b94959\n",
     "a26597226217cd37c61a134665b282cbfe1548dec2b35e840d2f64b599ca3b12", 0},
    {"no path at all",
     "GET /\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ee0f65b04ca5aac0bddf9d4e399121449e9b13267b779338514a86c3a2b94959\n",
     "a26597226217cd37c61a134665b282cbfe1548dec2b35e840d2f64b599ca3b12", 0},
    {"a default port",
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: kinesisvideo.eu-central-1.amazonaws.com\n"
     "Content-Type: application/json\n"
     "User-Agent: aws-cli/2.9.19 Python/3.11.2\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=21cf14e110774e4cd446ffc5deb564371e92d1a8b22cc02f87b7235fcad3d14b\n",
     "2369249b2c5865d44a96bcb84e58bae2596ac9524fbe248e0892d1cf386ee990", 0},
    {"an IPv6 host",
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: [::1]:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=5f69399dabfe56e2cf493f958cd8000afb6f24608d14e39fd7ca07ab3c6a763f\n",
     "3f0a8b834bf28b816ac4c9d68c2e2939a9ec15986af79f41b417173e71f94d7f", 0},
    {"a large body",
     "@body d69e68988157833272305aaf21f453c800346e8a3640db6578e260215542e5d4\n"
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ac720a4033fb9eb3e4348b71c50ab067e069d416fd26f7337623462973ad298b\n",
     "b75d3b05ec63bcb60f7a8d065202ad134d85062e282109c4548e763a1b32f9cf", 0},
    {"a relative path",
     "GET /example/..\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ee0f65b04ca5aac0bddf9d4e399121449e9b13267b779338514a86c3a2b94959\n",
     "a26597226217cd37c61a134665b282cbfe1548dec2b35e840d2f64b599ca3b12", 0},
    {"a path relative twice",
     "GET /example1/example2/../..\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ee0f65b04ca5aac0bddf9d4e399121449e9b13267b779338514a86c3a2b94959\n",
     "a26597226217cd37c61a134665b282cbfe1548dec2b35e840d2f64b599ca3b12", 0},
    {"above the root",
     "GET /../../describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=d0541421454eb9b89383ba87623b83a3682d0437e5358424b3013a5919ba47e8\n",
     "46dd4a9029c3c5d8c922f76db2eba080c8b4efbf9b47eee17a18bd27cbf9c064", 0},
    {"a dot",
     "GET /./\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ee0f65b04ca5aac0bddf9d4e399121449e9b13267b779338514a86c3a2b94959\n",
     "a26597226217cd37c61a134665b282cbfe1548dec2b35e840d2f64b599ca3b12", 0},
    {"a dot in front",
     "GET /./example\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ad9653b099ae00aa787c258d736c4220cbd46e22da8ab9d32744dd038422697f\n",
     "beeaa8c1c50c05d47b36d48be9cc6088c405001d80c075fd966fbc884b1b65e4", 0},
    {"two slashes",
     "GET //\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ee0f65b04ca5aac0bddf9d4e399121449e9b13267b779338514a86c3a2b94959\n",
     "a26597226217cd37c61a134665b282cbfe1548dec2b35e840d2f64b599ca3b12", 0},
    {"slashes everywhere",
     "GET //example//b///\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ff0891b63894959621928844faaddf8ad4a194004d11e249bf5a1c20bc450222\n",
     "bc3a88a446228499114f958574161f00f395f304e290596e80e0c9394709064e", 0},
    {"a slash at the end",
     "GET /example/\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=f1f4b1ba319fd6b347a6974a362a15fee41a005172654b4d19488710b7e719d4\n",
     "da9196dafc36e32c327ce75354e7000a9cc9ff37c1bc35c43b32c011ce80f4b1", 0},
    {"a dot at the end",
     "GET /example/.\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ad9653b099ae00aa787c258d736c4220cbd46e22da8ab9d32744dd038422697f\n",
     "beeaa8c1c50c05d47b36d48be9cc6088c405001d80c075fd966fbc884b1b65e4", 0},
    {"an escaped space",
     "GET /live/front%20door/index.m3u8\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ccbc0d1f164f7b1bc67c52b544c814806015bd810a64709941e56aef181228bd\n",
     "05e332c9dc35fc32c81fb9d9998e9a9a9edd3ecaefa7a7e6db5f834971fcd4c8", 0},
    {"escaped UTF-8",
     "GET /%E1%88%B4\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=7a163ece234982c00fd50ce305e168ab161cfbe3e36fa01099f43a64907136ee\n",
     "6309266a2fe51b518e714d094890b94661731f2640416e87b241894d2ab5ddc9", 0},
    {"an escaped slash",
     "GET /a%2Fb\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ea79b57e77ab93bd23a28f35afe6470c4966158c0bedb548fa4879183e918d9e\n",
     "4603afef8ed51bd22937b0da3aa3a36c61be1ac5a77bb440a333ee754c0dd89d", 0},
    {"an ARN in the path",
     "GET /tags/arn%3Aaws%3Akinesisvideo%3Aeu%3A0%3Astream\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=05f60a9ab23d9cd55a793496132e73cf39a57e72c1fa0cdac7f3b34a8a3bd22a\n",
     "9a4887c4edd4618672edb123dfbadda30789a65ade396266f2333b13e4807ba0", 0},
    {"an ARN unescaped",
     "GET /tags/arn:aws:kinesisvideo:eu:0:stream\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=287e1748c3dd332f3b4e4cbde21e10f75d6bd489caf5334577a450f46232e9da\n",
     "a1324acd554f1587c32fe876c3cadd3cfa6db35e0dc68bb9727d354673e5af40", 0},
    {"all that stands for itself",
     "GET /-._~0123456789abcxyzABCXYZ\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=7b7bd2de3fb6c90d547ff597d657f9f478cc266fef56e21c135170bc7a6a9d8e\n",
     "2c22e566d2b91e1243bcc077f799d175e57d8261181de9de96b49208d6614e39", 0},
    {"what must be escaped",
     "GET /!$&'()*+,;=:@\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=914f14e7bd5aeefd3e309fdff9bd43021e2922ec257c730c4e68849b163a80b5\n",
     "814425481ffed907f6bb52d443a67427dd930c6a47767ee3a9c1132443a62d0f", 0},
    {"a query",
     "GET /\?Param1=value1\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=9f1c6ca8955f4e05c4827065fcfc38f2db24e570e539cbdc4ac96b721abb5770\n",
     "aca249587fb362dccc06c59c6b09e56e4d2872f9e56d53643fbcba02a153514e", 0},
    {"order of names",
     "GET /\?Param2=value2&Param1=value1\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=8a357263b05f28f873689cac6a8efff9f4245ffda3b5ed426a0ac64a2db3c83e\n",
     "b8fe3149351dd633c5421dbc6afd73cd15076457a4e03da81a021c9b2b546f1d", 0},
    {"order of cases",
     "GET /\?b=1&B=2&a=3&A=4&_=5&~=6&-=7\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=7f02bb9adbedf62066bbf5d12ab5b87bddcccd841a920d3a8c0f28ded2ba8dea\n",
     "ebf7cfe8de13de3002613b24b429e4cf1da8feff8ce4df20dec6bd97c7c9c49e", 0},
    {"order of values",
     "GET /\?a=2&a=1&a=10&a=\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=d9d8a778565ac5237190dc078445f95669a7769af9c838c419ad81efbacf99b0\n",
     "13c08cf0c52428b17b19c41e45e5b483b794b4deb7094ee369969074f1ce906d", 0},
    {"a name that begins another",
     "GET /\?a-b=1&a=2&a.=3&aa=4\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=f0b49b861d6a854009195274a166dbaddb594c61c38a1fffbc079165236aa054\n",
     "c9bba8756ebfea1413ce614b85cbfcd2a1b9a5723b0641e88cf6b0aeb5565d1e", 0},
    {"no value",
     "GET /\?session&b=&a\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=10901ca364a6f5429e22fd56193547fabd2ef40a4d4d6f083f5e31f3809001fa\n",
     "89e93a71492133aa7dc994ce3e975e3bad9abf47c1cc848000f8eb9314b56379", 0},
    {"the same twice",
     "GET /\?a=1&a=1\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=a27e157d39c6a97b105724978a8824058f14697d95a10363b378e16273d19493\n",
     "2282d803b8dedf2d9604e9a4ea7aeb74c3c3686cc737eec3f62fbe5c464ce8c2", 0},
    {"an escaped value",
     "GET /\?start=2026-11-20T21%3A23%3A40Z&x=%20%2B%25\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=d58a8bae00d2b8f1db83b815742217daaeee288095eaa3428a51e0f988adcc43\n",
     "f85b0b378a20e5bea3ca1f83a0eb5a221851d638160733a6ab8e72b4bb7dadec", 0},
    {"UTF-8 in a query",
     "GET /\?%E1%88%B4=bar&%C3%A4=%F0%9F%90%98\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=3322a256c4785081aaa26fda77529ec2b01e5df9054e9a91ea225874bd754305\n",
     "c2477f1ec4e1f370624313dab3fdf4fea0328521c38665ccad294f3c399a29e4", 0},
    {"a plus as it stands",
     "GET /\?a=b+c\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=fabaf18a15e1d30267c2a5f50ef680fba3f869425ca8b24696f58b44c45fbb9b\n",
     "fc2e75f925f0785bea0d38cf13514f4608f18b29d7b8fe5189a57a291492d9a8", 0},
    {"lower case escapes",
     "GET /\?a=%2f%c3%a4\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=3716e7dde68ee65799524d70335e76e8d8077bcab36266e5253eaa9451135dfb\n",
     "39c001ff41a4d69270450c9bdf7c050dc388456511075f067549b101162689e8", 0},
    {"needless escapes",
     "GET /\?a=%61%7E\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=60375fd18a7b2254290e245fef41e71ae26332caf6edc32f46da731970c53f1c\n",
     "adb546bfe338a797d6fd124f2d345aea15351abb4b576c4b5407c7a661976efc", 0},
    {"signs unescaped",
     "GET /\?a=!'()*,;:@/\?\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=4a1b7132baa577c7031f4e76d1269d32f0a7b8fb358d53e32cde30ce8cb92f09\n",
     "e88f116b7d7975a89ac638c56964af23f89bbcbcf788813b16f249ac24e4f982", 0},
    {"empty members",
     "GET /\?&a=1&&b=2&\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=ed36a86b9ae8a89da87e772ac5cf176c60e9db22bdfa02ad420c03a0ada3d854\n",
     "c20133adb03d203b2a7662d82f8a2a8be91c111556367aacd9b1e02216bf840d", 0},
    {"a value with an equals sign",
     "GET /\?token=ab=cd==\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=a21a95345c65015be125c1ed865f6c5dee4228546f86562a99042157212bb7c4\n",
     "4856ad9fab8a5f3c5227d27ac815576e940d9efec8cee08f248aa99a65b20611", 0},
    {"a percent that escapes nothing",
     "GET /\?a=100%&b=%zz\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=2417ef57a220efe5d674a5256f10723bebedcdbc635a8322447631f5569a197d\n",
     "b64c6d132872b8ffda977c01d5d3d8590e5e797c55ce3a55e80a1681f114863f", 0},
    {"parameters",
     "GET /x\?b+c=d%2Fe&a=%C3%A4%2B~&=z\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=acb71682a61fed40f1f08a13f60a880eeea4a81ce6fa4aa134bb912e335f70af\n",
     "703d417009071daa855dfae4bb444f9702ac3515ddda44202a7555a57752e967", 0},
    {"a repeated header",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "My-Header1: value2\n"
     "My-Header1: value2\n"
     "My-Header1: value1\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;my-header1;x-amz-date, Signature=3b925d1397bdbc0dacd07f228474a111da4bb0da062c87fc262ec713893f2ad4\n",
     "f015b79648b1e521220085deb3e82e4ee46df80fc2aa004f763312057fad895a", 0},
    {"spaces around a value",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "My-Header1:   value1 \n"
     "My-Header2:  \"a   b   c\" \n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;my-header1;my-header2;x-amz-date, Signature=0d3b2cc86f5ef8d23edb482ceef9f9ef1a4a7fc56e61c749d1398d6c18802ef5\n",
     "a7da764bcce2f145c312db0048374bdd21d7f418f4bcdf76d66f0fb381800874", 0},
    {"tabs in a value",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "My-Header1: a\011\011b \011 c\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;my-header1;x-amz-date, Signature=f9bc4ae19c6d87f4b687bb477ccf06a745ad2189a0b019381d6fafe1414d5bd8\n",
     "8a04da814d85af209a441a52a783ffe85155c441035601f08384d25d83f2cb3c", 0},
    {"an empty value",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "My-Header1: \n"
     "My-Header2:   \n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;my-header1;my-header2;x-amz-date, Signature=dc8f342627ab4487a85cf32c96de82456d4c1ae51d18b7a0ebad8275acb97982\n",
     "fd9c023bef36dff0df58fd92861cab6cac435c2db971dc329dc9280f2abddd89", 0},
    {"order of headers",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "Zoo: 1\n"
     "apple: 2\n"
     "X-Amz-Zoo: 3\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=apple;host;x-amz-date;x-amz-zoo;zoo, Signature=715ccf2bef6d1be66ca1a92d1d71b72a79a6e4ddda3d860df1dbd5c6b226e625\n",
     "6a32e84da66af14d59f6a34d8db87e4f98dc4769b162325248632d86ee08f5bd", 0},
    {"UTF-8 in a header",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "My-Header1: T\303\274r\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;my-header1;x-amz-date, Signature=f299904ce1d2f813010c2a5337c7e388ed2c8fd0ce5bcbcbb1e84b502161e5d9\n",
     "a8d46995ea5ddbca5c12201a77cd25a2d767a6d6fe6238096e88d929ac947bd4", 0},
    {"commas in a header",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "My-Header1: a,b,c\n"
     "My-Header1:  d , e\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;my-header1;x-amz-date, Signature=ec62cde284ff8b3c8135ccb3a818eb22a6fef97809e11335b4f3627e639a8d14\n",
     "ea4ce77e560affdf150fb0f450d7b678fa07f321af213c52ba526998c7226d1c", 0},
    {"Date instead of X-Amz-Date",
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "Date: Fri, 20 Nov 2026 21:23:40 -0000\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=date;host, Signature=6dd5e423f45fe0d480dba2707e61a47e1bf8bf25284ad17c07a9ee65e2fae49c\n",
     "fd274095283b9e080d5ba869daaacb0a79172729eab2cc5136063985158139f8", 0},
    {"its hash told",
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Content-SHA256: cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=c76ac5db2334818acce25a642aba05b4b846b6b4b1a9b6f0a4d44c1f98056702\n",
     "1344644909b5aed1bf1ce217d52598427138bb62943a2099053ed6420a72f9e4", 0},
    {"PutMedia as the C SDK signs it",
     "@body streamed\n"
     "POST /putMedia\n"
     "Host: 127.0.0.1:5466\n"
     "user-agent: AWS-SDK-KVS/1.6.4/1.6.4 GCC/12.2.0 Linux/6.1.0 x86_64\n"
     "x-amzn-stream-name: door\n"
     "x-amzn-fragment-timecode-type: ABSOLUTE\n"
     "x-amzn-producer-start-timestamp: 1637698685.7\n"
     "x-amzn-fragment-acknowledgment-required: 1\n"
     "transfer-encoding: chunked\n"
     "connection: keep-alive\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=connection;host;transfer-encoding;user-agent;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=687967748affa52f89136cc299b4dc17cb1d4feca08643d5905eb17501fb148b\n",
     "91adffa4a7eeb0e858670399d74b2f4ca4c58ecbecfc2118478596cbe259b084", 0},
    {"PutMedia with its token unsigned",
     "@body streamed\n"
     "POST /putMedia\n"
     "Host: 127.0.0.1:5466\n"
     "user-agent: AWS-SDK-KVS/1.6.4/1.6.4 GCC/12.2.0 Linux/6.1.0 x86_64\n"
     "x-amzn-stream-name: door\n"
     "x-amzn-fragment-timecode-type: ABSOLUTE\n"
     "x-amzn-producer-start-timestamp: 1637698685.7\n"
     "x-amzn-fragment-acknowledgment-required: 1\n"
     "transfer-encoding: chunked\n"
     "connection: keep-alive\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "X-Amz-Security-Token: IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQ+/==\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=connection;host;transfer-encoding;user-agent;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=687967748affa52f89136cc299b4dc17cb1d4feca08643d5905eb17501fb148b\n",
     "91adffa4a7eeb0e858670399d74b2f4ca4c58ecbecfc2118478596cbe259b084", 1},
    {"PutMedia with Host without port",
     "@body streamed\n"
     "POST /putMedia\n"
     "user-agent: AWS-SDK-KVS/1.6.4/1.6.4 GCC/12.2.0 Linux/6.1.0 x86_64\n"
     "x-amzn-stream-name: door\n"
     "x-amzn-fragment-timecode-type: ABSOLUTE\n"
     "x-amzn-producer-start-timestamp: 1637698685.7\n"
     "x-amzn-fragment-acknowledgment-required: 1\n"
     "transfer-encoding: chunked\n"
     "connection: keep-alive\n"
     "host: 127.0.0.1\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=connection;host;transfer-encoding;user-agent;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=0064fa0a9f201af42da1b5bfcaedcfdfcff1a8765ca2f346d107ab1dcb73ab57\n",
     "d01330213e302419b63f208e34bcc268013b83c8eda1644b6ee8fff99f3410d2", 0},
    {"PutMedia unsigned",
     "@body streamed\n"
     "POST /putMedia\n"
     "Host: 127.0.0.1:5466\n"
     "x-amzn-stream-name: door\n"
     "x-amzn-fragment-timecode-type: ABSOLUTE\n"
     "x-amzn-producer-start-timestamp: 1637698685.7\n"
     "x-amzn-fragment-acknowledgment-required: 1\n"
     "X-Amz-Content-SHA256: UNSIGNED-PAYLOAD\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=4b6250575b70dbe928e6d1327cc588b9c6c782b34507d58041a6d18336a225fc\n",
     "44feed6e7d22ce0bd51ad268253b7bebddff9e347c9578d0244f6d77185f4833", 0},
    {"PutMedia with the hash of nothing told",
     "@body streamed\n"
     "POST /putMedia\n"
     "Host: 127.0.0.1:5466\n"
     "x-amzn-stream-name: door\n"
     "x-amzn-fragment-timecode-type: ABSOLUTE\n"
     "x-amzn-producer-start-timestamp: 1637698685.7\n"
     "x-amzn-fragment-acknowledgment-required: 1\n"
     "X-Amz-Content-SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=591990f5e8e115c24ace9ce8d88fe95efdb1d5bd2273ce8cf4067131365f7e00\n",
     "f461cc825a73081331c272b14d537171aa28f8aef56c387f2d0f20f3ddf964ed", 0},
    {"PutMedia unsigned without a word",
     "@body streamed\n"
     "POST /putMedia\n"
     "Host: 127.0.0.1:5466\n"
     "x-amzn-stream-name: door\n"
     "x-amzn-fragment-timecode-type: ABSOLUTE\n"
     "x-amzn-producer-start-timestamp: 1637698685.7\n"
     "x-amzn-fragment-acknowledgment-required: 1\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date;x-amzn-fragment-acknowledgment-required;x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name, Signature=5746bafe5ab7066058aaf3c01dad5dd9af9ee44fe547656af56af8f6d11eaad7\n",
     "20f08ef01b44da47db9c141843efe5f3e5bbd969a16cc26914599ed2fd6d0f46", 0},
    {"signed without the port, sent with it",
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=3fffdb2f89ba5b179f0de90d1d368dbc8770d5a0da53c7d42c727b6a08788429\n",
     "e918b5ae09c5dd1f5932bf07a11173d315475d4bcdef705858c54f8b4d7c78bd", 0},
    {"signed with the port, sent without it",
     "@port 5466\n"
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: 127.0.0.1\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=4fef49d3de5c63cc854f51498702851cd93041c04268269a6ec303f468d71118\n",
     "26d4d59622424a62bf4174b7a4283f4f076172da049c862c076ee700938a5258", 0},
    {"a session token",
     "@body cc94c1cfc885f5990d0ba01bad63b36463743eae80cf11eccf4bdbbfd717cfd7\n"
     "POST /describeStream\n"
     "Host: 127.0.0.1:5466\n"
     "Content-Type: application/json\n"
     "User-Agent: aws-cli/2.9.19 Python/3.11.2\n"
     "X-Amz-Date: 20261120T212340Z\n"
     "X-Amz-Security-Token: IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQ+/==\n"
     "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/eu-central-1/kinesisvideo/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=b16f1a835fa7282de99a15e23ae90a5be00b72c0657237931969419fe164f024\n",
     "5c18df4c2e10fe5cce06fb3836ad328f71e2002eb8b29f662085c76e7adccca2", 1},
    {"a presigned GET",
     "GET /live/door/index.m3u8\?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261120%2Feu-central-1%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20261120T212340Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=0082121c784f2010614e23ba2c58bbe9559dc9fb6015c354b3d91e416741a44f\n"
     "Host: 127.0.0.1:5466\n",
     "e53fa081f6d5b4875addcc5dcd46c67c592bdd57acea02ebf6b5441d2e136310", 0},
    {"presigned with members",
     "GET /a%20b\?z=1&A=%2B&start=2026&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261120%2Feu-central-1%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20261120T212340Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=fc451bc7f2b393250ecb325aead102809c3533a7f6faf13806941f4e4bf2f16d\n"
     "Host: 127.0.0.1:5466\n",
     "e3b11e2e3262abceb0aba81783d5080e687afdb8d1318bb968a6cf19b76f4539", 0},
    {"presigned with a header",
     "GET /x\?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261120%2Feu-central-1%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20261120T212340Z&X-Amz-Expires=1&X-Amz-SignedHeaders=host%3Bx-amz-meta&X-Amz-Signature=b2e04f9c528232f65329f7194329cc2c2c361f1196017a40f42738630a50ddfb\n"
     "Host: 127.0.0.1:5466\n"
     "X-Amz-Meta: a  b\n",
     "8094dce0bbf1de0d1cad6ab26af871654cc5df4602e66abab6d679bbd1d991a2", 0},
    {"presigned with a token",
     "GET /x\?b=2&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261120%2Feu-central-1%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20261120T212340Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=IQoJb3JpZ2luX2VjEJr%2F%2F%2F%2F%2F%2F%2F%2F%2F%2FwEaCXVzLWVhc3QtMSJHMEUCIQ%2B%2F%3D%3D&X-Amz-Signature=a3c87e64d072129fb4a42e9466be454e2b02943193b9f45dfb15711ae67726e6\n"
     "Host: 127.0.0.1:5466\n",
     "de8a65f70c118e04a056bda282efaaec3f397838abf7da95f44822494fdc10c8", 1},
    {"a signalling socket",
     "GET /\?X-Amz-ChannelARN=arn%3Aaws%3Akinesisvideo%3Aeu-central-1%3A0%3Achannel%2Fdoor%2F1&X-Amz-ClientId=viewer&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261120%2Feu-central-1%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20261120T212340Z&X-Amz-Expires=299&X-Amz-SignedHeaders=host&X-Amz-Signature=c8a60c992b7d45ccabf5106573bc6416a09cdc2d7b99baaf959f59a0a571cdfd\n"
     "Host: 127.0.0.1:5468\n",
     "11201ed9255fb210eaa68de8e2a2dca7c88b5821e41559ed5e99f88e3a05678d", 0},
    {"a presigned POST",
     "POST /describeStream\?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261120%2Feu-central-1%2Fkinesisvideo%2Faws4_request&X-Amz-Date=20261120T212340Z&X-Amz-Expires=10&X-Amz-SignedHeaders=host&X-Amz-Signature=e1c153dda307d3be44087e32b663ff303c6bd683ef1896e03f858f62360b1492\n"
     "Host: 127.0.0.1:5466\n",
     "338224b522c80d5b7ffbfc5e7012fff2cd559bff43562d11ffe5d435ab73f17f", 0},
};
/* clang-format on */

#endif
