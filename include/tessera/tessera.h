// SPDX-License-Identifier: Apache-2.0
#pragma once

// The whole public face but tessera/platform.h, which needs SystemC.
#include "tessera/activity.h"
#include "tessera/batch_axis.h"
#include "tessera/error.h"
#include "tessera/ids.h"
#include "tessera/installation.h"
#include "tessera/mapping_report.h"
#include "tessera/progress.h"
#include "tessera/results.h"
#include "tessera/simulation.h"
#include "tessera/summary.h"
#include "tessera/tick.h"
#include "tessera/trace.h"
#include "tessera/values.h"
#include "tessera/version.h"
