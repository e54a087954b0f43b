// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: every test speaks to a target of its own.
#include "platform/requester.h"

#include "integration/platform/protocol_checker.h"
#include "platform/process.h"
#include "tessera/platform.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/peq_with_get.h>
#include <tlm_utils/simple_target_socket.h>
#include <utility>
#include <vector>

namespace tessera::platform
{
namespace
{

using Payload = tlm::tlm_generic_payload;
using Link = Requester<MvmRequest, MvmProtocol, sc_core::SC_ONE_OR_MORE_BOUND>;

constexpr Tick kNanosecond = 1000;

sc_core::sc_time nanoseconds(double count)
{
    return {count, sc_core::SC_NS};
}

/// What a target leaves on a payload; the payload's owner deletes it.
struct Mark : tlm::tlm_extension<Mark>
{
    [[nodiscard]] tlm::tlm_extension_base* clone() const override { return new Mark(*this); }
    void copy_from(const tlm::tlm_extension_base& /*other*/) override {}
};

/// A target that takes a request in 40 ns and has its result after 100 ns, and says so in one of
/// the ways that there are.
class Target : public sc_core::sc_module
{
public:
    enum class Style
    {
        accept_ahead,     ///< END_REQ on return, ahead of its time
        accept_by_call,   ///< END_REQ by a call, ahead of its time
        respond_on_return ///< BEGIN_RESP on return, ahead of its time
    };
    Target(const sc_core::sc_module_name& name, Style style)
        : sc_module(name),
          socket("socket"),
          style_(style),
          requests_("requests"),
          responses_("responses")
    {
        socket.register_nb_transport_fw(this, &Target::nb_transport_fw);
        TESSERA_HAS_PROCESS(Target);
        SC_METHOD(accept);
        sensitive << requests_.get_event();
        dont_initialize();
        SC_METHOD(respond);
        sensitive << responses_.get_event();
        dont_initialize();
    }
    tlm_utils::simple_target_socket<Target, 32, MvmProtocol> socket;
    std::vector<Tick> begins; ///< of requests, sc_time
    bool payloads_come_clean = true;

private:
    tlm::tlm_sync_enum nb_transport_fw(Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        if (phase != tlm::BEGIN_REQ)
        {
            return tlm::TLM_COMPLETED;
        }
        begins.push_back(tick_of(sc_core::sc_time_stamp() + delay));
        payloads_come_clean = payloads_come_clean && payload.get_extension<Mark>() == nullptr;
        payload.set_auto_extension(new Mark);
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
        switch (style_)
        {
        case Style::accept_ahead:
            payload.acquire();
            responses_.notify(payload, delay + nanoseconds(100));
            phase = tlm::END_REQ;
            delay += nanoseconds(40);
            return tlm::TLM_UPDATED;
        case Style::accept_by_call:
            payload.acquire();
            requests_.notify(payload, delay);
            responses_.notify(payload, delay + nanoseconds(100));
            return tlm::TLM_ACCEPTED;
        case Style::respond_on_return:
            phase = tlm::BEGIN_RESP;
            delay += nanoseconds(100);
            return tlm::TLM_UPDATED;
        }
        return tlm::TLM_COMPLETED;
    }
    void accept()
    {
        while (Payload* const payload = requests_.get_next_transaction())
        {
            tlm::tlm_phase phase = tlm::END_REQ;
            sc_core::sc_time delay = nanoseconds(40);
            socket->nb_transport_bw(*payload, phase, delay);
        }
    }
    void respond()
    {
        while (Payload* const payload = responses_.get_next_transaction())
        {
            tlm::tlm_phase phase = tlm::BEGIN_RESP;
            sc_core::sc_time delay;
            socket->nb_transport_bw(*payload, phase, delay);
            payload->release();
        }
    }

    Style style_;
    tlm_utils::peq_with_get<Payload> requests_;
    tlm_utils::peq_with_get<Payload> responses_;
};

/// Sends two requests at once, a third one 20 ns later, when the first one's phase still goes on.
class Sender : public sc_core::sc_module, public AnswerListener
{
public:
    Sender(const sc_core::sc_module_name& name, Target::Style style)
        : sc_module(name),
          target("target", style),
          checker("checker"),
          link("link", 0, false, *this)
    {
        link.socket.bind(checker.target);
        checker.initiator.bind(target.socket);
        TESSERA_HAS_PROCESS(Sender);
        SC_THREAD(run);
    }
    void hear(Answer answer) override
    {
        if (answer.kind == Answer::Kind::accepted)
        {
            accepted.push_back(answer.at);
            return;
        }
        EXPECT_EQ(answer.kind, Answer::Kind::done);
        done.push_back(answer.at);
    }
    Target target;
    ProtocolChecker<MvmProtocol> checker;
    Link link;
    std::vector<Tick> accepted;
    std::vector<Tick> done;

private:
    void send()
    {
        Link::Request& request = link.make();
        request.set_command(tlm::TLM_IGNORE_COMMAND);
        request.set_data_length(0);
        link.send(request);
    }
    void run()
    {
        send();
        send();
        wait(nanoseconds(20));
        send();
        wait(nanoseconds(1000));
        send(); // by now with a payload that has been used before
    }
};

std::vector<Tick> ticks(std::vector<Tick> in_nanoseconds)
{
    for (Tick& tick : in_nanoseconds)
    {
        tick *= kNanosecond;
    }
    return in_nanoseconds;
}

TEST(Requester, SendsNothingBeforeTheLastRequestsPhaseIsOver)
{
    Sender ahead("ahead", Target::Style::accept_ahead);
    Sender called("called", Target::Style::accept_by_call);
    Sender responding("responding", Target::Style::respond_on_return);

    sc_core::sc_start();

    for (const Sender* const sender : {&ahead, &called})
    {
        SCOPED_TRACE(sender->name());
        EXPECT_EQ(sender->target.begins, ticks({0, 40, 80, 1020}));
        EXPECT_EQ(sender->accepted, ticks({40, 80, 120, 1060}));
        EXPECT_EQ(sender->done, ticks({100, 140, 180, 1120}));
    }
    EXPECT_EQ(responding.target.begins, ticks({0, 100, 200, 1020}));
    EXPECT_EQ(responding.done, ticks({100, 200, 300, 1120}));
    for (const Sender* const sender : {&ahead, &called, &responding})
    {
        SCOPED_TRACE(sender->name());
        EXPECT_EQ(sender->checker.breaches(), std::vector<std::string>());
        EXPECT_TRUE(sender->target.payloads_come_clean) << "what a target attached came back";
    }
}

} // namespace
} // namespace tessera::platform
