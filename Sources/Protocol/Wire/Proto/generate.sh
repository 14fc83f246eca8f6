#!/bin/sh
# Writes Generated/ anew from the .proto file. Usage: generate.sh PATH_OF_PROTOC_GEN_SWIFT
# (built by `swift build --product protoc-gen-swift`); `protoc` is Debian's protobuf-compiler.
set -eu
cd "$(dirname "$0")/.."
protoc --plugin="protoc-gen-swift=$1" --proto_path=Proto \
    --swift_out=Visibility=Internal,UseAccessLevelOnImports=true:Generated Proto/understudy.proto
# Safe: the shared default instance is copied before its first change. The generator does not say so itself.
sed -i 's/_storage = _StorageClass.defaultInstance/_storage = unsafe _StorageClass.defaultInstance/' \
    Generated/understudy.pb.swift
