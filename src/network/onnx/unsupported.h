// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace tessera::network::onnx
{

/// A node that cannot be imported, and why: "takes strides of 2". All of a file are collected
/// before it is refused.
class Unsupported : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

} // namespace tessera::network::onnx
